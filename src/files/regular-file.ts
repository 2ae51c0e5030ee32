import { open, type FileHandle } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'
import { codeOfFileError, explainFileError } from './system-error.ts'

/**
 * Opens a file for reading at any position, which a pipe does not allow. Throws USAGE_INVALID, or HOST_UNAVAILABLE if the host
 * cannot read it now; its message calls the file `label`.
 */
export async function openRegularFile(path: string, label: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r')
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (cause) {
    const message = `${label}: cannot be read: ${explainFileError(cause)}`
    throw new BridgeError(codeOfFileError(cause, 'USAGE_INVALID'), message, { cause })
  }
  throw new BridgeError('USAGE_INVALID', `${label}: is not a regular file`)
}
