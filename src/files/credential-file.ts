import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { BridgeError } from '../errors.ts'

/** Far above any JWT or token, far below what would hurt. */
const MAX_BYTES = 64 * 1024

/** A file that holds one credential and nothing else. */
export interface CredentialFile {
  readonly path: string
  /** The configuration key that names the file. */
  readonly setting: string
  /** For a file that is not there: who writes it and what to do, as a phrase. */
  readonly whenMissing: string
}

/** The text of a credential file without white space around it; throws IDENTITY_* in words. */
export async function readCredentialFile(file: CredentialFile): Promise<string> {
  const handle = await openCredential(file)
  try {
    return await readCredential(handle, file)
  } finally {
    await handle.close()
  }
}

async function openCredential(file: CredentialFile): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK a named pipe would hold the login up until somebody writes to it.
    return await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (thrown) {
    throw explainOpen(file, thrown)
  }
}

function explainOpen(file: CredentialFile, thrown: unknown): BridgeError {
  const reason = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (reason === 'ENOENT') {
    return new BridgeError(
      'IDENTITY_MISSING',
      `${file.setting}: ${file.path} does not exist yet; ${file.whenMissing}`,
      { cause: thrown },
    )
  }
  const why =
    reason === 'EACCES'
      ? `may not be read by user id ${process.getuid?.() ?? 'unknown'}; give this user read permission on the file and its folder`
      : `cannot be opened (${String(reason)}); it must be a readable file`
  return new BridgeError('IDENTITY_INVALID', `${file.setting}: ${file.path} ${why}`, {
    cause: thrown,
  })
}

async function readCredential(handle: FileHandle, file: CredentialFile): Promise<string> {
  const stat = await handle.stat()
  if (stat.isDirectory()) throw invalid(file, 'is a directory; name the file inside it')
  if (!stat.isFile()) throw invalid(file, 'is not a regular file')
  // Not by stat.size: the file may be exchanged or grow between the two.
  const buffer = Buffer.alloc(MAX_BYTES + 1)
  const length = await readAll(handle, buffer)
  if (length > MAX_BYTES)
    throw invalid(file, `is larger than ${MAX_BYTES} bytes; is it the right file?`)
  const text = buffer.toString('utf8', 0, length).trim()
  buffer.fill(0)
  if (text === '') throw invalid(file, 'is empty; whoever writes it has not finished or failed')
  return text
}

async function readAll(handle: FileHandle, buffer: Buffer): Promise<number> {
  let length = 0
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return length
}

function invalid(file: CredentialFile, what: string): BridgeError {
  return new BridgeError('IDENTITY_INVALID', `${file.setting}: ${file.path} ${what}`)
}
