import type { FileHandle } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'
import {
  damagedSnapshot,
  PAGE_HEADER,
  parseHeader,
  parseMeta,
  parsePage,
  type BoltMeta,
  type LeafItem,
  type Page,
} from './bolt-page.ts'
import { readAt } from './snapshot-bytes.ts'

/** The page sizes that bbolt tries when the first meta page is damaged (bbolt: db.go, getPageSize): 1 KiB to 16 MiB. */
const PAGE_SIZES = Array.from({ length: 15 }, (_, power) => 1024 * 2 ** power)
const META_BYTES = 80
/** A branch page has at least two children, so only a loop is this deep. */
const MAX_DEPTH = 64

/**
 * Reads one bucket of a bbolt file page by page, without changing or locking the file. Only the current page and the branch
 * pages above it are in memory.
 */
export class BoltFile {
  readonly #file: FileHandle
  readonly #meta: BoltMeta
  readonly #size: number
  #pagesRead = 0

  /** Throws SNAPSHOT_INVALID if the file is not a bbolt file or is truncated. */
  static async open(file: FileHandle): Promise<BoltFile> {
    const { size } = await file.stat()
    const meta = await readNewestMeta(file)
    if (meta === undefined) {
      throw new BridgeError(
        'SNAPSHOT_INVALID',
        'the file is not an etcd snapshot; pass a file that "etcdctl snapshot save" wrote, or a copy of member/snap/db',
      )
    }
    if (meta.pages * meta.pageSize > size) {
      throw new BridgeError(
        'SNAPSHOT_INVALID',
        `the snapshot is truncated: it has ${String(size)} of ${String(meta.pages * meta.pageSize)} bytes; copy it again`,
      )
    }
    return new BoltFile(file, meta, size)
  }

  private constructor(file: FileHandle, meta: BoltMeta, size: number) {
    this.#file = file
    this.#meta = meta
    this.#size = size
  }

  /** The share of the file's pages that have been read; free pages never are. */
  get fraction(): number {
    return Math.min(1, this.#pagesRead / this.#meta.pages)
  }

  /** The leaves of a bucket from its last key to its first, and so the items of each; undefined without such a bucket. */
  async openBucket(name: string): Promise<AsyncIterable<readonly LeafItem[]> | undefined> {
    for await (const items of this.#walk(this.#meta.root, 0)) {
      const bucket = items.find(({ key, isBucket }) => isBucket && key.toString('latin1') === name)
      if (bucket !== undefined) return this.#leavesOf(bucket.value)
    }
    return undefined
  }

  /** A bucket is stored as the number of its root page; a small one is a page within the value (bbolt: bucket.go, inlineable). */
  async *#leavesOf(bucket: Buffer): AsyncIterable<readonly LeafItem[]> {
    if (bucket.length < PAGE_HEADER) throw damagedSnapshot('a bucket is too short')
    const root = Number(bucket.readBigUInt64LE(0))
    if (root !== 0) {
      yield* this.#walk(root, 0)
      return
    }
    const page = parsePage(bucket.subarray(PAGE_HEADER))
    if (page.kind === 'leaf') yield page.items.toReversed()
  }

  async *#walk(id: number, depth: number): AsyncGenerator<readonly LeafItem[]> {
    const page = await this.#read(id)
    if (page.kind === 'leaf') {
      yield page.items.toReversed()
      return
    }
    if (depth === MAX_DEPTH) throw damagedSnapshot('its pages form a loop')
    for (const child of page.children.toReversed()) yield* this.#walk(child, depth + 1)
  }

  async #read(id: number): Promise<Page> {
    const { pageSize, pages } = this.#meta
    if (id >= pages) throw damagedSnapshot(`it refers to page ${String(id)} of ${String(pages)}`)
    const first = await this.#readBytes(id, pageSize)
    const header = parseHeader(first)
    if (header.id !== id) throw damagedSnapshot(`page ${String(id)} is missing`)
    const count = header.overflow + 1
    this.#pagesRead += count
    // Every page has one parent, so reading more pages than exist means a loop.
    if (this.#pagesRead > 2 * pages) throw damagedSnapshot('its pages form a loop')
    if (count === 1) return parsePage(first)
    if (id + count > pages)
      throw damagedSnapshot(`page ${String(id)} extends past the end of the file`)
    return parsePage(await this.#readBytes(id, count * pageSize))
  }

  async #readBytes(id: number, length: number): Promise<Buffer> {
    const position = id * this.#meta.pageSize
    if (position + length > this.#size) throw damagedSnapshot('it ends within a page')
    return readExactly(this.#file, position, length)
  }
}

async function readNewestMeta(file: FileHandle): Promise<BoltMeta | undefined> {
  const first = await readMetaAt(file, 0)
  const sizes = first === undefined ? PAGE_SIZES : [first.pageSize]
  const found = [first]
  for (const pageSize of sizes) {
    const second = await readMetaAt(file, pageSize)
    if (second?.pageSize === pageSize) found.push(second)
  }
  const [newest] = found
    .filter((meta) => meta !== undefined && PAGE_SIZES.includes(meta.pageSize))
    .toSorted((one, other) => Number((other?.transaction ?? 0n) - (one?.transaction ?? 0n)))
  return newest
}

async function readMetaAt(file: FileHandle, position: number): Promise<BoltMeta | undefined> {
  const buffer = Buffer.alloc(META_BYTES)
  const bytes = await readAt(file, buffer, position)
  return bytes < META_BYTES ? undefined : parseMeta(buffer)
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length)
  if ((await readAt(file, buffer, position)) === length) return buffer
  throw damagedSnapshot('it became shorter while it was read')
}
