import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'

import { BridgeError } from '../errors.ts'
import { openRegularFile } from './regular-file.ts'
import { systemCodeOf } from './system-error.ts'

/** A longer line is not read, because memory is bounded. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024
/** What is kept of a line that is too long. */
const PREFIX_BYTES = 4096

/** A line of a file. */
export interface Line {
  /** The first line is 1. */
  readonly number: number
  /** Without the line break; only the beginning if the line is too long. */
  readonly text: string
  readonly isTooLong: boolean
  /** Whether the file ends without a line break after it. */
  readonly isUnfinished: boolean
}

/** The first bytes of compressed files (RFC 1952, RFC 8878; the formats of xz and bzip2). */
const FORMATS = [
  { magic: '1f8b', name: 'gzip', open: () => createGunzip() },
  { magic: '28b52ffd', name: 'zstd', open: () => createZstdDecompress() },
  { magic: 'fd377a585a00', name: 'xz' },
  { magic: '425a68', name: 'bzip2' },
  { magic: '04224d18', name: 'lz4' },
  { magic: '504b0304', name: 'zip' },
] as const
const LONGEST_MAGIC = 6

/**
 * Reads the lines of a file, as many at once as a chunk holds, in bounded memory. Recognizes gzip and zstd by content and
 * decompresses them. Throws USAGE_INVALID for a file that cannot be opened or has an unsupported compression, and FILE_DAMAGED if
 * reading fails later.
 */
export async function* readLines(path: string): AsyncGenerator<readonly Line[]> {
  const splitter = new LineSplitter()
  try {
    const { content, leftBytes } = await openContent(path)
    for await (const chunk of content) yield splitter.add(chunk as Buffer)
    // Node.js stops at data that it does not recognize as compressed, and reports nothing.
    if (leftBytes() > 0)
      throw new BridgeError('FILE_DAMAGED', 'other data follows the compressed data')
  } catch (cause) {
    if (cause instanceof BridgeError) throw cause
    throw new BridgeError('FILE_DAMAGED', explainDamage(cause), { cause })
  }
  yield splitter.end()
}

interface Content {
  readonly content: Readable
  /** The bytes at the end of the file that were not decompressed. Call it after reading. */
  readonly leftBytes: () => number
}

async function openContent(path: string): Promise<Content> {
  const file = await openRegularFile(path, path)
  const magic = Buffer.alloc(LONGEST_MAGIC)
  let size = 0
  try {
    size = (await file.stat()).size
    await file.read(magic, 0, LONGEST_MAGIC, 0)
  } finally {
    await file.close()
  }
  const format = FORMATS.find((known) => magic.toString('hex').startsWith(known.magic))
  const stream = createReadStream(path)
  if (format === undefined) return { content: stream, leftBytes: () => 0 }
  if (!('open' in format))
    throw new BridgeError(
      'USAGE_INVALID',
      `${path}: is compressed with ${format.name}; decompress it first`,
    )
  const content = format.open()
  stream.on('error', (error) => content.destroy(error))
  content.on('close', () => stream.destroy())
  stream.pipe(content)
  return { content, leftBytes: () => size - content.bytesWritten }
}

/** Codes of node:zlib: Z_BUF_ERROR for a file that was cut off, others for damage. */
function explainDamage(cause: unknown): string {
  const code = systemCodeOf(cause)
  if (code === 'Z_BUF_ERROR') return 'the compressed data ends too early'
  if (code?.startsWith('Z_') === true || code?.startsWith('ZSTD_') === true)
    return 'the compressed data is damaged'
  return `reading failed (${code ?? 'unknown error'})`
}

/** Splits chunks into lines. It keeps at most one line, and of one that is too long only the beginning. */
class LineSplitter {
  #parts: Buffer[] = []
  #bytes = 0
  #number = 0

  add(chunk: Buffer): readonly Line[] {
    const lines: Line[] = []
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      if (end < 0) break
      this.#keep(chunk.subarray(start, end))
      lines.push(this.#take(false))
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
    return lines
  }

  end(): readonly Line[] {
    return this.#bytes > 0 ? [this.#take(true)] : []
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length
    if (this.#bytes <= MAX_LINE_BYTES) this.#parts.push(part)
    else this.#parts = [Buffer.concat(this.#parts).subarray(0, PREFIX_BYTES)]
  }

  #take(isUnfinished: boolean): Line {
    const isTooLong = this.#bytes > MAX_LINE_BYTES
    const text = Buffer.concat(this.#parts).toString('utf8').replace(/\r$/, '')
    this.#parts = []
    this.#bytes = 0
    this.#number += 1
    return { number: this.#number, text, isTooLong, isUnfinished }
  }
}
