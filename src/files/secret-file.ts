import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'
import { readFully, readNamed } from './bounded-read.ts'

/** Reads a regular file of at most `maxBytes`. Throws HOST_FAILED or HOST_UNAVAILABLE, which name the file, or what node:fs throws. */
export async function readSecretFile(path: string, maxBytes: number): Promise<Buffer> {
  return readNamed(path, async () => {
    // Without O_NONBLOCK, opening a named pipe blocks until another process writes to it.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stat = await file.stat()
      if (!stat.isFile()) throw new BridgeError('HOST_FAILED', `${path} is not a regular file`)
      if (stat.size > maxBytes)
        throw new BridgeError('HOST_FAILED', `${path} has more than ${String(maxBytes)} bytes`)
      return await readContent(file, stat.size, path)
    } finally {
      await file.close()
    }
  })
}

/** The file may grow while it is read. */
async function readContent(file: FileHandle, size: number, path: string): Promise<Buffer> {
  const buffer = Buffer.alloc(size + 1)
  const length = await readFully(file, buffer)
  if (length <= size) return buffer.subarray(0, length)
  buffer.fill(0)
  throw new BridgeError('HOST_FAILED', `${path} grew while it was read`)
}
