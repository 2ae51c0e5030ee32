import { hash } from 'node:crypto'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { BridgeError } from '../errors.ts'
import { explainFileError } from '../files/system-error.ts'

/** Names of files have at most 255 bytes; the rest is for the extension. */
const MAX_NAME_BYTES = 240

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

/** Writes an object under its path in etcd, in folders and a file that only the owner can read. Throws HOST_FAILED. */
export async function writeObject(
  folder: string,
  path: string,
  { extension, content }: { readonly extension: string; readonly content: Buffer },
): Promise<void> {
  const names = path.split('/').map(makeFileName)
  const parent = join(folder, ...names.slice(0, -1))
  const file = join(parent, `${names.at(-1) ?? ''}.${extension}`)
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    await writeFile(file, content, { mode: 0o600, flag: 'wx' })
  } catch (cause) {
    const why = `${file} cannot be written: ${explainFileError(cause)}`
    throw new BridgeError('HOST_FAILED', why, { cause })
  }
}

/** Keys of etcd can contain anything: no part of one leaves the folder, and no two become the same file. */
function makeFileName(part: string): string {
  const name = encodeURIComponent(part.toWellFormed()).replace(/^\./, '%2E')
  if (name !== '' && Buffer.byteLength(name) <= MAX_NAME_BYTES) return name
  return `%${hash('sha256', part, 'hex')}`
}
