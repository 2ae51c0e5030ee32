import type { FileHandle } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'
import { readFully } from '../../files/bounded-read.ts'
import { codeOfFileError, explainFileError } from '../../files/system-error.ts'

/**
 * Fills the buffer from a position of a snapshot, as far as the file has bytes; returns their number. Throws HOST_UNAVAILABLE or
 * SNAPSHOT_INVALID if the file cannot be read.
 */
export async function readAt(file: FileHandle, buffer: Buffer, position: number): Promise<number> {
  try {
    return await readFully(file, buffer, position)
  } catch (cause) {
    const message = `the snapshot cannot be read: ${explainFileError(cause)}`
    throw new BridgeError(codeOfFileError(cause, 'SNAPSHOT_INVALID'), message, { cause })
  }
}
