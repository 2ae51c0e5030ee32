import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'

import { removeFile, replaceFile } from '../../files/atomic-file.ts'
import { isInMemory } from '../../files/memory-file-system.ts'
import { systemCodeOf } from '../../files/system-error.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import { BridgeError } from '../../errors.ts'
import { parseBoundedJson } from '../bounded-json.ts'
import type { RuntimeVolume } from './publish-request.ts'

/** A token has at most 16 KiB. */
const LONGEST_RECORD = 64 * 1024
const NAME = /^([0-9a-f]{16})\.json$/

const Record = v.object({
  id: v.string(),
  targetPath: v.string(),
  pod: v.object({
    namespace: v.string(),
    serviceAccount: v.string(),
    name: v.string(),
    uid: v.string(),
  }),
  role: v.string(),
  vaultNamespace: v.optional(v.string()),
  /** The token of the pod. A projected volume has such a token in memory on the same node. */
  token: v.optional(v.string()),
})

/** What is stored about a volume. */
export interface VolumeRecord {
  readonly volume: RuntimeVolume
  /** Only if the folder is in memory. */
  readonly token: string | undefined
}

/**
 * The volumes that are served again after a restart, one file each. Tokens are stored only on a file system in memory, because no
 * token on a disk may outlive the pod.
 */
export class VolumeRecords {
  readonly #folder: string
  readonly #log: Logger
  #isInMemory = false

  constructor(stateFolder: string, log: Logger) {
    this.#folder = recordFolderOf(stateFolder)
    this.#log = log
  }

  /** Reads all records; a damaged one is removed and logged. Throws HOST_FAILED if the folder cannot be used. */
  async load(): Promise<readonly VolumeRecord[]> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      this.#isInMemory = await isInMemory(this.#folder)
      const names = await listRecords(this.#folder)
      const records = await Promise.all(names.map((name) => this.#read(name)))
      return records.filter((record) => record !== undefined)
    } catch (cause) {
      throw new BridgeError(
        'HOST_FAILED',
        `csi.runtime.stateFolder: ${this.#folder} cannot be used; check that it is mounted and writable`,
        { cause },
      )
    }
  }

  /** Throws HOST_FAILED. */
  async save({ volume, token }: VolumeRecord): Promise<void> {
    const content = JSON.stringify({ ...volume, token: this.#isInMemory ? token : undefined })
    try {
      await replaceFile({ path: this.#pathOf(volume.id), mode: 0o600, content })
    } catch (cause) {
      throw new BridgeError(
        'HOST_FAILED',
        `csi.runtime.stateFolder: a volume cannot be recorded in ${this.#folder}`,
        { cause },
      )
    }
  }

  async remove(volumeId: string): Promise<void> {
    await removeFile(this.#pathOf(volumeId))
  }

  async #read(name: string): Promise<VolumeRecord | undefined> {
    const path = join(this.#folder, name)
    const text = await readFile(path, 'utf8').catch(whenMissing)
    // Another driver, which is stopping, removed it after it was listed.
    if (text === undefined) return undefined
    const record = parseRecord(name, text)
    if (record !== undefined) return record
    this.#log.warn(
      { [logKey.reason]: 'HOST_FAILED' },
      `the record ${path} of a volume is damaged and was removed; its pod has no socket until the kubelet calls again`,
    )
    await removeFile(path)
    return undefined
  }

  #pathOf(volumeId: string): string {
    return join(this.#folder, `${shortName(volumeId)}.json`)
  }
}

/** The folder with the records. */
export function recordFolderOf(stateFolder: string): string {
  return join(stateFolder, 'volumes')
}

/** The names of the records in their folder. */
export async function listRecords(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => NAME.test(name))
}

/** Returns undefined if the record is damaged. */
export function parseRecord(name: string, text: string): VolumeRecord | undefined {
  const parsed = v.safeParse(
    Record,
    text.length > LONGEST_RECORD ? undefined : parseBoundedJson(text),
    { abortEarly: true },
  )
  if (!parsed.success || name !== `${shortName(parsed.output.id)}.json`) return undefined
  const { token, ...volume } = parsed.output
  return { volume, token }
}

function whenMissing(thrown: unknown): undefined {
  if (systemCodeOf(thrown) !== 'ENOENT') throw thrown
}

/** Returns a short name for a volume: the kubelet's ids have 68 characters, and the path of a socket must be short. */
export function shortName(volumeId: string): string {
  return createHash('sha256').update(volumeId).digest('hex').slice(0, 16)
}
