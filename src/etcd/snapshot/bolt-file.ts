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

/** What bbolt itself tries when the first meta page is damaged (db.go, getPageSize): 1 KiB to 16 MiB. */
const PAGE_SIZES = Array.from({ length: 15 }, (_, power) => 1024 * 2 ** power)
const META_LENGTH = 80
/** A tree of 16-bit fan-out is never this deep; a loop is. */
const DEEPEST = 64

/**
 * Reads one bucket of a bbolt file, page by page, without changing or locking the file. A page and the branch pages
 * above it are all that is in memory.
 */
export class BoltFile {
  readonly #file: FileHandle
  readonly #meta: BoltMeta
  readonly #size: number
  #pagesRead = 0

  /** Throws SNAPSHOT_INVALID if it is no bbolt file or ends too early. */
  static async open(file: FileHandle): Promise<BoltFile> {
    const { size } = await file.stat()
    const meta = await readNewestMeta(file)
    if (meta === undefined) {
      throw new BridgeError(
        'SNAPSHOT_INVALID',
        'the file is not an etcd snapshot; give what "etcdctl snapshot save" wrote, or a copy of member/snap/db',
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

  /** Pages read of pages in the file; those that are free are never read. */
  get fraction(): number {
    return Math.min(1, this.#pagesRead / this.#meta.pages)
  }

  /** All leaves of a bucket from its last key to its first; each leaf's items likewise. Undefined: no such bucket. */
  async openBucket(name: string): Promise<AsyncIterable<readonly LeafItem[]> | undefined> {
    for await (const items of this.#walk(this.#meta.root, 0)) {
      const bucket = items.find(({ key, isBucket }) => isBucket && key.toString('latin1') === name)
      if (bucket !== undefined) return this.#leavesOf(bucket.value)
    }
    return undefined
  }

  /** A bucket is the number of its first page; a small one is a page inside of the value (bucket.go, inlineable). */
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
    if (depth === DEEPEST) throw damagedSnapshot('its pages form a loop')
    for (const child of page.children.toReversed()) yield* this.#walk(child, depth + 1)
  }

  async #read(id: number): Promise<Page> {
    const { pageSize, pages } = this.#meta
    if (id >= pages) throw damagedSnapshot(`page ${String(id)} of ${String(pages)} is referred to`)
    const first = await this.#readBytes(id, pageSize)
    const header = parseHeader(first)
    if (header.id !== id) throw damagedSnapshot(`page ${String(id)} is not there`)
    const count = header.overflow + 1
    this.#pagesRead += count
    // Every page has one parent: who reads more pages than there are is going round in circles.
    if (this.#pagesRead > 2 * pages) throw damagedSnapshot('its pages form a loop')
    if (count === 1) return parsePage(first)
    if (id + count > pages) throw damagedSnapshot(`page ${String(id)} reaches beyond the end`)
    return parsePage(await this.#readBytes(id, count * pageSize))
  }

  async #readBytes(id: number, length: number): Promise<Buffer> {
    const position = id * this.#meta.pageSize
    if (position + length > this.#size) throw damagedSnapshot('it ends inside of a page')
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
  const buffer = Buffer.alloc(META_LENGTH)
  const { bytesRead } = await file.read(buffer, 0, META_LENGTH, position)
  return bytesRead < META_LENGTH ? undefined : parseMeta(buffer)
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done)
    if (bytesRead === 0) throw damagedSnapshot('it became shorter while it was read')
    done += bytesRead
  }
  return buffer
}
