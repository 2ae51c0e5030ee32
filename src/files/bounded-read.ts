import type { FileHandle } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'

/** A local file answers within milliseconds. */
const TIMEOUT_MS = 2_000
/** Each read that hangs takes one of libuv's four threads, which also look up host names: two remain. */
const MAX_HANGING_READS = 2
/** The file may have been replaced by one that answers. */
const RETRY_AFTER_MS = 30_000

interface HangingRead {
  readonly path: string
  readonly since: number
}

const hanging = new Set<HangingRead>()
let reads = 0

/** Whether a read is in progress. It occupies a thread, and process.getActiveResourcesInfo() does not list it. */
export function isReading(): boolean {
  return reads > 0
}

/**
 * Reads a file that may be on a dead network mount, where a read never returns and cannot be aborted. Throws HOST_UNAVAILABLE
 * after two seconds, and at once while an earlier read of the file hangs; its message completes "FILE …". Other errors
 * pass through.
 */
export async function readWithinTime<T>(path: string, read: () => Promise<T>): Promise<T> {
  refuseIfHanging(path)
  reads += 1
  const reading = read().finally(() => (reads -= 1))
  const { promise: timeIsUp, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const entry = { path, since: performance.now() }
    hanging.add(entry)
    const forget = () => hanging.delete(entry)
    reading.then(forget, forget)
    reject(silent(`did not answer a read within ${String(TIMEOUT_MS / 1000)} s`))
  }, TIMEOUT_MS)
  return Promise.race([reading, timeIsUp]).finally(() => clearTimeout(timer))
}

/** The same, and the message of HOST_UNAVAILABLE names the file. */
export async function readNamed<T>(path: string, read: () => Promise<T>): Promise<T> {
  return readWithinTime(path, read).catch((thrown: unknown) => {
    if (!(thrown instanceof BridgeError) || thrown.code !== 'HOST_UNAVAILABLE') throw thrown
    throw new BridgeError(thrown.code, `${path} ${thrown.message}`, { cause: thrown })
  })
}

/** Whether a read of the file that took too long has not ended yet. */
export function isHanging(path: string): boolean {
  return [...hanging].some((entry) => entry.path === path)
}

/** Reads from a position of the file until the buffer is full or the file ends; returns the number of bytes. */
export async function readFully(handle: FileHandle, buffer: Buffer, start = 0): Promise<number> {
  let length = 0
  while (length < buffer.length) {
    const rest = buffer.length - length
    const { bytesRead } = await handle.read(buffer, length, rest, start + length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return length
}

function refuseIfHanging(path: string): void {
  if (hanging.size >= MAX_HANGING_READS) {
    const paths = new Set([...hanging].map((entry) => entry.path))
    throw silent(`is not read again because reads of ${[...paths].join(' and ')} hang`)
  }
  const isRecent = ({ since }: HangingRead) => performance.now() - since < RETRY_AFTER_MS
  if ([...hanging].some((entry) => entry.path === path && isRecent(entry)))
    throw silent('still does not answer a read')
}

function silent(words: string): BridgeError {
  const message = `${words}; is it a pipe, or on a network mount that hangs?`
  return new BridgeError('HOST_UNAVAILABLE', message)
}
