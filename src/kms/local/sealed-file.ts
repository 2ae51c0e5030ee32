import { rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'

import { BridgeError } from '../../errors.ts'
import { removeFile, replaceFile } from '../../files/atomic-file.ts'
import { readSecretFile } from '../../files/secret-file.ts'
import { explainFileError, isPermissionDenied, systemCodeOf } from '../../files/system-error.ts'
import { NODE_KEY_UNIT } from '../../files/systemd-credential.ts'
import { FileClaim } from './file-claim.ts'
import {
  formatSealedFile,
  NODE_KEY_BYTES,
  OTHER_NODE_KEY,
  parseSealedFile,
  wipeLocalKeys,
  type OfflineState,
  type SealedOwner,
} from './sealed-format.ts'

/** For a file of another node key: the former one may still exist. */
const HOW_TO_KEEP =
  'to keep it, restore the former node key and restart the plugin before Vault answers'
/** Far above the largest: 4,096 local keys take about 1 MiB. */
const MAX_FILE_BYTES = 8 * 1024 * 1024

export interface SealedFileOptions {
  /** kms.localKeys.sealedFile */
  readonly path: string
  /** kms.localKeys.nodeKeyFile: 32 bytes. It is read for each use and not kept. */
  readonly nodeKeyFile: string
  readonly owner: SealedOwner
  readonly log: { readonly warn: (message: string) => void }
}

/** Why a sealed file cannot be used, or could not be written or removed. */
export interface SealedFileFault {
  /** `denied`: this user lacks a right to the file, its folder or the node key, which another user may have. */
  readonly kind: 'denied' | 'other'
  readonly text: string
}

/**
 * The sealed file (kms.localKeys.sealedFile; docs/design.md, "Sealed file"), which lets the plugin start without Vault. A fault
 * of the file never stops the plugin: it is logged and reported, and the next write replaces the file.
 */
export class SealedFile {
  readonly #options: SealedFileOptions
  readonly #claim: FileClaim
  #work: Promise<void> = Promise.resolve()
  #fault: SealedFileFault | undefined
  /** Whether the last request to write had a state to write. */
  #isDue = false

  constructor(options: SealedFileOptions) {
    this.#options = options
    this.#claim = new FileClaim(options.path)
  }

  /** Undefined after the last write, or after a removal that left nothing to write. */
  get fault(): SealedFileFault | undefined {
    return this.#fault
  }

  /** Whether this plugin may read the file; false, and a fault, if another one uses it or its mount hangs. */
  async mayLoad(): Promise<boolean> {
    try {
      if (await this.#isOurs()) return true
      this.#report({ kind: 'other', text: this.#inUse() })
    } catch (error) {
      this.#report(describeFault(this.#options.path, 'read', error))
    }
    return false
  }

  /** The plugin cannot start without Vault until the file is written; the text says why. Call it before the first write. */
  reject(text: string): void {
    this.#report({ kind: 'other', text })
  }

  /** The same if there is no file. It is not logged: at the first start of a plugin, it is normal. */
  miss(): void {
    const text = `${this.#options.path} did not exist at the start (never written, or removed after a refusal or after kms.localKeys.offlineFor), and has not been written since`
    this.#fault = { kind: 'other', text }
  }

  /** Whether another plugin uses the file. Never throws. */
  isHeldElsewhere(): Promise<boolean> {
    return this.#claim.isHeldElsewhere()
  }

  /** After this, another plugin may use the file. */
  async release(): Promise<void> {
    await this.#work
    await this.#claim.release()
  }

  /** Reads the file. Undefined if there is none, or none that can be used; the fault says why. */
  async load(): Promise<OfflineState | undefined> {
    const { path, nodeKeyFile, owner } = this.#options
    try {
      const file = await readSecretFile(path, MAX_FILE_BYTES)
      const state = await withNodeKey({ nodeKeyFile, use: 'used' }, (nodeKey) =>
        parseSealedFile(file, owner, nodeKey),
      )
      if (typeof state !== 'string') return state
      const keep = state === OTHER_NODE_KEY ? `; ${HOW_TO_KEEP}` : ''
      const text = `${path} ${state}; it is ignored, and replaced when Vault answers${keep}`
      this.#report({ kind: 'other', text })
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined
      this.#report(describeFault(path, 'read', error))
    }
    return undefined
  }

  /** Replaces the file after all earlier requests. Never rejects; resolves with whether the file was written. */
  save(makeState: () => OfflineState | undefined): Promise<boolean> {
    return this.#enqueue(async () => {
      const state = makeState()
      this.#isDue = state !== undefined
      if (state === undefined) return false
      const { path, nodeKeyFile, owner } = this.#options
      try {
        if (!(await this.#claim.hold())) throw this.#inUseError()
        const content = await withNodeKey({ nodeKeyFile, use: 'written' }, (nodeKey) =>
          formatSealedFile(state, owner, nodeKey),
        )
        // Before the write: a disk may hang for as long as it likes.
        wipeLocalKeys(state)
        await replaceWith(path, content)
        this.#fault = undefined
        return true
      } catch (error) {
        this.#report(describeFault(path, 'written', error))
        return false
      } finally {
        wipeLocalKeys(state)
      }
    })
  }

  /** Removes the file after all earlier requests. Never rejects; resolves with whether there is none now. */
  remove(): Promise<boolean> {
    return this.#enqueue(async () => {
      const { path } = this.#options
      try {
        if (!(await this.#isOurs())) throw this.#inUseError()
        await removeFile(path)
        // Of a file that should not exist, nothing is wrong any longer. A write that failed is tried again.
        if (!this.#isDue) this.#fault = undefined
        return true
      } catch (error) {
        this.#report(describeFault(path, 'removed', error))
        return false
      }
    })
  }

  /**
   * Where no socket can be created, as on a read-only disk, another plugin may still have one. The next write reports why. Throws if
   * the mount hangs, because no other request would end either.
   */
  async #isOurs(): Promise<boolean> {
    return this.#claim.hold().catch(async (error: unknown) => {
      if (this.#claim.isHanging) throw error
      return !(await this.#claim.isHeldElsewhere())
    })
  }

  #inUseError(): BridgeError {
    return new BridgeError('HOST_FAILED', this.#inUse())
  }

  #inUse(): string {
    return `${this.#options.path} is in use by another plugin, so this one neither reads nor writes it; set another kms.localKeys.sealedFile for each plugin`
  }

  #enqueue(work: () => Promise<boolean>): Promise<boolean> {
    const result = this.#work.then(work)
    this.#work = result.then(() => undefined)
    return result
  }

  #report(fault: SealedFileFault): void {
    const isLogged = fault.text === this.#fault?.text
    this.#fault = fault
    if (!isLogged) this.#options.log.warn(`kms.localKeys.sealedFile: ${fault.text}`)
  }
}

/** Replaces the file, or an empty directory in its place: container runtimes create one where a mounted file is missing. */
async function replaceWith(path: string, content: Buffer): Promise<void> {
  const file = { path, mode: 0o600, content }
  await replaceFile(file).catch(async (error: unknown) => {
    if (systemCodeOf(error) !== 'EISDIR') throw error
    await rmdir(path).catch(() => {
      throw error
    })
    await replaceFile(file)
  })
}

function describeFault(path: string, action: string, error: unknown): SealedFileFault {
  if (error instanceof BridgeError) return { kind: kindOf(error.cause), text: error.message }
  return { kind: kindOf(error), text: `${path} cannot be ${action}: ${explain(path, error)}` }
}

function kindOf(error: unknown): SealedFileFault['kind'] {
  return isPermissionDenied(error) ? 'denied' : 'other'
}

function explain(path: string, error: unknown): string {
  switch (systemCodeOf(error)) {
    case 'ENOENT':
      return `${dirname(path)} does not exist`
    case 'EISDIR':
      return 'it is a directory; remove it'
    // rm() of node:fs/promises throws this, also for the path at which an interrupted write leaves a file.
    case 'ERR_FS_EISDIR':
      return `${pathOf(error) ?? path} is a directory; remove it`
    case undefined:
    default:
      return explainFileError(error)
  }
}

function pathOf(error: unknown): string | undefined {
  return error instanceof Error && 'path' in error ? String(error.path) : undefined
}

interface NodeKeyUse {
  /** kms.localKeys.nodeKeyFile */
  readonly nodeKeyFile: string
  /** What is not done with the sealed file if the node key cannot be used. */
  readonly use: 'used' | 'written'
}

async function withNodeKey<T>(from: NodeKeyUse, work: (nodeKey: Buffer) => T): Promise<T> {
  const nodeKey = await readNodeKey(from)
  try {
    return work(nodeKey)
  } finally {
    nodeKey.fill(0)
  }
}

/** Throws HOST_FAILED for anything but a file of the right length. */
async function readNodeKey({ nodeKeyFile: path, use }: NodeKeyUse): Promise<Buffer> {
  const effect = `so the sealed file is not ${use} and a start needs Vault`
  // A write is repeated without a restart.
  const restart = use === 'used' ? ', then restart the plugin' : ''
  const found = await readSecretFile(path, 1024).catch((error: unknown) => {
    const isMissing = systemCodeOf(error) === 'ENOENT'
    const fix = isMissing ? `start its unit (${NODE_KEY_UNIT}.service)` : 'correct this'
    const message = `the node key ${explainNodeKey(path, error)}, ${effect}; ${fix}${restart}`
    throw new BridgeError('HOST_FAILED', message, { cause: error })
  })
  if (found.length === NODE_KEY_BYTES) return found
  found.fill(0)
  throw new BridgeError(
    'HOST_FAILED',
    `the node key ${path} has ${String(found.length)} bytes instead of ${String(NODE_KEY_BYTES)}, ${effect}; replace it with transit-bridge setup node-key --replace${restart}`,
  )
}

function explainNodeKey(path: string, error: unknown): string {
  if (error instanceof BridgeError) return error.message
  if (systemCodeOf(error) === 'ENOENT') return `${path} is missing`
  return `${path} cannot be read: ${explainFileError(error)}`
}
