import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { BridgeError } from '../errors.ts'
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

/** Returns the credential without surrounding white space. Throws IDENTITY_MISSING or IDENTITY_INVALID. */
export async function readCredentialFile(file: CredentialFile): Promise<string> {
  try {
    return await readWithinTime(file.path, () => readOpened(file))
  } catch (error) {
    const isSilent = error instanceof BridgeError && error.code === 'HOST_FAILED'
    throw isSilent ? invalid(file, error.message, error) : error
  }
}

async function readOpened(file: CredentialFile): Promise<string> {
  const handle = await openCredential(file)
  try {
    return await readCredential(handle, file)
  } finally {
    await handle.close()
  }
}

async function openCredential(file: CredentialFile): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK, opening a named pipe blocks until another process writes to it.
    return await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (thrown) {
    throw explainOpen(file, thrown)
  }
}

function explainOpen(file: CredentialFile, thrown: unknown): BridgeError {
  const reason = systemCodeOf(thrown)
  if (reason === 'ENOENT') {
    return new BridgeError(
      'IDENTITY_MISSING',
      `${file.setting}: ${file.path} does not exist yet; ${file.whenMissing}`,
      { cause: thrown },
    )
  }
  const shortage = explainShortage(thrown)
  const why =
    shortage !== undefined
      ? `cannot be opened now: ${shortage}`
      : reason === 'EACCES'
        ? `cannot be read by user id ${process.getuid?.() ?? 'unknown'}; grant this user read permission on the file and its folder`
        : `cannot be opened (${reason ?? 'unknown error'}); it must be a readable file`
  return new BridgeError('IDENTITY_INVALID', `${file.setting}: ${file.path} ${why}`, {
    cause: thrown,
  })
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
  return new BridgeError('IDENTITY_INVALID', `${file.setting}: ${file.path} ${what}`, { cause })
}
