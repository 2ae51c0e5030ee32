import { readFile } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'
import { explainFileError } from './system-error.ts'

/** Reads a file that the command line names. Throws USAGE_INVALID; its message calls the file `label`. */
export async function readTextFile(file: string, label = file): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const message = `${label}: cannot be read: ${explainFileError(cause)}`
    throw new BridgeError('USAGE_INVALID', message, { cause })
  }
}
