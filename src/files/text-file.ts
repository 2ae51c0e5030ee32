import { readFile } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'

/** Reads a file that the command line names. Throws USAGE_INVALID. */
export async function readTextFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
    throw new BridgeError('USAGE_INVALID', `${file} cannot be read (${code})`, { cause })
  }
}
