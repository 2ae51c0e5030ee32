import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { BridgeError, type ErrorCode } from '../errors.ts'
import { readFully, readWithinTime } from './bounded-read.ts'
import { explainShortage, systemCodeOf } from './system-error.ts'

/** Far above the size of any JWT or token. */
const MAX_BYTES = 64 * 1024

/** A file that holds a single credential. */
export interface CredentialFile {
  readonly path: string
  /** The configuration key that names the file. */
  readonly setting: string
  /** For a missing file: what writes it and what to do, as the end of a message. */
  readonly whenMissing: string
}

/**
 * Returns the credential without surrounding white space. Throws IDENTITY_MISSING, IDENTITY_INVALID, or HOST_UNAVAILABLE if
 * the host cannot read it now.
 */
export async function readCredentialFile(file: CredentialFile): Promise<string> {
  try {
    return await readWithinTime(file.path, () => readOpened(file))
  } catch (thrown) {
    if (!(thrown instanceof BridgeError)) throw explain(file, thrown)
    if (thrown.code !== 'HOST_UNAVAILABLE') throw thrown
    throw fault(thrown.code, file, thrown.message, thrown)
  }
}

async function readOpened(file: CredentialFile): Promise<string> {
  // Without O_NONBLOCK, opening a named pipe blocks until another process writes to it.
  const handle = await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    return await readCredential(handle, file)
  } finally {
    await handle.close()
  }
}

function explain(file: CredentialFile, thrown: unknown): BridgeError {
  const reason = systemCodeOf(thrown)
  if (reason === 'ENOENT')
    return fault('IDENTITY_MISSING', file, `does not exist yet; ${file.whenMissing}`, thrown)
  const shortage = explainShortage(thrown)
  if (shortage !== undefined)
    return fault('HOST_UNAVAILABLE', file, `cannot be read now: ${shortage}`, thrown)
  const why =
    reason === 'EACCES'
      ? `cannot be read by user id ${process.getuid?.() ?? 'unknown'}; grant this user read permission on the file and its folder`
      : `cannot be opened (${reason ?? 'unknown error'}); it must be a readable file`
  return invalid(file, why, thrown)
}

async function readCredential(handle: FileHandle, file: CredentialFile): Promise<string> {
  const stat = await handle.stat()
  if (stat.isDirectory()) throw invalid(file, 'is a directory; name the file inside it')
  if (!stat.isFile()) throw invalid(file, 'is not a regular file')
  // Not by stat.size: the file may grow after stat.
  const buffer = Buffer.alloc(MAX_BYTES + 1)
  const length = await readFully(handle, buffer)
  if (length > MAX_BYTES)
    throw invalid(file, `is larger than ${MAX_BYTES} bytes; is it the right file?`)
  const text = buffer.toString('utf8', 0, length).trim()
  buffer.fill(0)
  if (text === '')
    throw invalid(file, 'is empty; the process that writes it has failed or not finished')
  return text
}

function invalid(file: CredentialFile, what: string, cause?: unknown): BridgeError {
  return fault('IDENTITY_INVALID', file, what, cause)
}

function fault(
  code: ErrorCode,
  { setting, path }: CredentialFile,
  what: string,
  cause: unknown,
): BridgeError {
  return new BridgeError(code, `${setting}: ${path} ${what}`, { cause })
}
