import { createHash } from 'node:crypto'
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Script } from 'node:vm'

/** By then a server has answered its first calls, so all that the next start needs has been compiled. */
const SAVE_AFTER_MS = 2_000
const DIGEST_BYTES = 32
/** A symbolic link is not followed, and a FIFO does not hold up the start. */
const { O_NOFOLLOW, O_NONBLOCK, O_WRONLY, O_CREAT, O_TRUNC } = constants
const READ_FLAGS = O_NOFOLLOW | O_NONBLOCK
const WRITE_FLAGS = READ_FLAGS | O_WRONLY | O_CREAT | O_TRUNC

export interface ServerCode {
  /** A bundle that scripts/build.ts wrote: one function expression, in ASCII. */
  readonly file: string
  /** Where compiled code may be kept: the folder of Node.js's own compile cache. Undefined if there is none. */
  readonly cacheFolder?: string | undefined
  readonly require: NodeJS.Require
  /** When to save the compiled code. */
  readonly saveAfterMs?: number
}

type Bundle = (require: NodeJS.Require, folder: string) => void

/**
 * Runs a server from its bundle, with the code that V8 compiled in an earlier start. Node.js's own cache contains only the
 * functions that were compiled while the file was loaded (docs/design.md, "Start and stop").
 */
export function runServer(code: ServerCode): void {
  const { file, cacheFolder, require, saveAfterMs = SAVE_AFTER_MS } = code
  const source = readFileSync(file)
  const cacheFile = cacheFolder && join(cacheFolder, `${basename(file)}.cache`)
  const cachedData = cacheFile && readCode(cacheFile, source)
  const script = new Script(source.toString('latin1'), {
    filename: file,
    ...(cachedData && { cachedData }),
  })
  if (cacheFile && (cachedData === undefined || script.cachedDataRejected === true))
    saveLater(script, source, cacheFile, saveAfterMs)
  else free(source)
  if (cachedData) free(cachedData)
  const run = script.runInThisContext() as Bundle
  run(require, dirname(file))
}

/**
 * Code compiled from this very source, or undefined. V8 compares only the length of the source; it does check that the code is
 * from the same version of V8, with the same flags and processor features.
 */
function readCode(cacheFile: string, source: Buffer): Buffer | undefined {
  let content: Buffer
  try {
    content = readFileSync(cacheFile, { flag: READ_FLAGS })
  } catch {
    return undefined
  }
  const code = content.subarray(DIGEST_BYTES)
  return digestOf(source, code).equals(content.subarray(0, DIGEST_BYTES)) ? code : undefined
}

/**
 * Opens the file now: by then, the server may have dropped the right to do so. A start that reads a part of the file finds that
 * the digest is wrong. A failure only makes the next start slower: the folder may be read-only, or the disk full.
 */
function saveLater(script: Script, source: Buffer, cacheFile: string, afterMs: number): void {
  let target: number
  try {
    target = openSync(cacheFile, WRITE_FLAGS, 0o600)
  } catch {
    return
  }
  const save = () => {
    const code = script.createCachedData()
    try {
      writeFileSync(target, Buffer.concat([digestOf(source, code), code]))
    } catch {
      return
    } finally {
      closeSync(target)
    }
  }
  setTimeout(save, afterMs).unref()
}

/**
 * Returns the memory of a large buffer now, and not after the next full collection. Small buffers share memory, and stay.
 */
function free({ buffer, byteOffset, byteLength }: Buffer): void {
  if (byteLength > Buffer.poolSize && byteOffset + byteLength === buffer.byteLength)
    (buffer as ArrayBuffer).transfer(0)
}

function digestOf(source: Buffer, code: Buffer): Buffer {
  return createHash('sha256').update(source).update(code).digest()
}
