import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { chmod, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { BridgeError } from '../errors.ts'
import { explainFileError, systemCodeOf } from '../files/system-error.ts'

/** Names of files have at most 255 bytes; the rest is for the extension. */
const MAX_NAME_BYTES = 240
const SLASH = '/'
/**
 * A path is too long; another object has the name: on a file system that ignores case, or as a folder with the extension of a
 * file.
 */
const TAKEN: ReadonlySet<string> = new Set(['EEXIST', 'EISDIR', 'ENOTDIR', 'ENAMETOOLONG'])

export interface NewObject {
  readonly extension: string
  readonly content: Buffer
}

/** Throws USAGE_INVALID unless the folder can be made, or is empty. Then only its owner can enter it. */
export async function prepareFolder(folder: string): Promise<void> {
  let found: readonly string[]
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    found = await readdir(folder)
    if (found.length === 0) await chmod(folder, 0o700)
  } catch (cause) {
    const why = `--out ${folder}: cannot be used: ${explainFileError(cause)}`
    throw new BridgeError('USAGE_INVALID', why, { cause })
  }
  if (found.length > 0) {
    const why = `--out ${folder}: is not empty; pass a folder that does not exist yet`
    throw new BridgeError('USAGE_INVALID', why)
  }
}

/**
 * Writes an object under its path in etcd, in folders and a file that only the owner can read. Where that name is taken or too
 * long, the name is the hash of the path. Throws HOST_FAILED.
 */
export async function writeObject(folder: string, path: Buffer, object: NewObject): Promise<void> {
  const names = splitPath(path).map(makeFileName)
  const parent = join(folder, ...names.slice(0, -1))
  const file = join(parent, `${names.at(-1) ?? ''}.${object.extension}`)
  const spare = join(folder, `%${hash('sha256', path, 'hex')}.${object.extension}`)
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    await writeNew(file, object.content)
  } catch (cause) {
    if (!TAKEN.has(systemCodeOf(cause) ?? '')) throw explain(file, cause)
    await writeNew(spare, object.content).catch((again: unknown) => {
      throw explain(spare, again)
    })
  }
}

/** A part of a file is removed: it could be mistaken for the object. */
async function writeNew(file: string, content: Buffer): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(content)
  } catch (error) {
    await rm(file, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

function explain(file: string, cause: unknown): BridgeError {
  const why = `${file} cannot be written: ${explainFileError(cause)}`
  return new BridgeError('HOST_FAILED', why, { cause })
}

function splitPath(path: Buffer): readonly Buffer[] {
  const parts: Buffer[] = []
  let from = 0
  for (let at = path.indexOf(SLASH); at !== -1; at = path.indexOf(SLASH, from)) {
    parts.push(path.subarray(from, at))
    from = at + 1
  }
  return [...parts, path.subarray(from)]
}

/** Keys of etcd can contain anything: no part of one leaves the folder. */
function makeFileName(part: Buffer): string {
  const name = isUtf8(part) ? encodeURIComponent(part.toString('utf8')).replace(/^\./, '%2E') : ''
  if (name !== '' && Buffer.byteLength(name) <= MAX_NAME_BYTES) return name
  return `%${hash('sha256', part, 'hex')}`
}
