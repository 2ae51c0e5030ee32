import { createReadStream } from 'node:fs'

import { BridgeError } from '../errors.ts'
import { codeOfFileError, explainFileError } from './system-error.ts'

const MEBIBYTE = 1024 * 1024
/** The largest of these files, a list of certificates, has a quarter of this size. */
const MAX_TEXT_BYTES = MEBIBYTE

/**
 * Reads a file that the command line names; a pipe is possible, as in `--share <(gpg -d share)`. Throws USAGE_INVALID
 * if the file cannot be read or is too large to be the right one, HOST_UNAVAILABLE if the host cannot read it now; the message
 * calls the file `label`.
 */
export async function readTextFile(
  file: string,
  label = file,
  maxBytes = MAX_TEXT_BYTES,
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    // `end` is inclusive, so this reads up to one byte more than is accepted.
    for await (const chunk of createReadStream(file, { end: maxBytes }) as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
    }
  } catch (cause) {
    const message = `${label}: cannot be read: ${explainFileError(cause)}`
    throw new BridgeError(codeOfFileError(cause, 'USAGE_INVALID'), message, { cause })
  }
  if (length <= maxBytes) return Buffer.concat(chunks).toString('utf8')
  throw new BridgeError(
    'USAGE_INVALID',
    `${label}: is larger than ${String(maxBytes / MEBIBYTE)} MiB; is it the right file?`,
  )
}
