import { open, type FileHandle } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'

/**
 * Opens a file that is read from any place in it, which a pipe cannot be. Throws USAGE_INVALID; `place` is what
 * its message calls the file, and `elseWhy` says more of what is not one.
 */
export async function openRegularFile(
  path: string,
  place: string,
  elseWhy = '',
): Promise<FileHandle> {
  try {
    const file = await open(path, 'r')
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    const reason = code === 'ENOENT' ? 'there is no such file' : code
    throw new BridgeError('USAGE_INVALID', `${place}: cannot be read: ${reason}`)
  }
  throw new BridgeError('USAGE_INVALID', `${place}: is not a file${elseWhy}`)
}
