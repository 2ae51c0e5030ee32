import { BridgeError } from '../../errors.ts'

// The file format of bbolt (go.etcd.io/bbolt v1.4.3, internal/common: page.go, meta.go, bucket.go). Integers are in the byte
// order of the machine that wrote the file; etcd supports little-endian machines only.

export const PAGE_HEADER = 16
const ELEMENT = 16
const MAGIC = 0xed0cdaed
const VERSION = 2

const BRANCH = 0x01
const LEAF = 0x02
const META = 0x04
/** The flag of a leaf element whose value is a bucket. */
const BUCKET = 0x01

/** The content of a meta page. */
export interface BoltMeta {
  readonly pageSize: number
  /** The page of the root bucket. */
  readonly root: number
  /** The first unused page number, and so the minimum number of pages in the file. */
  readonly pages: number
  readonly transaction: bigint
}

export interface LeafItem {
  readonly key: Buffer
  readonly value: Buffer
  readonly isBucket: boolean
}

export interface PageHeader {
  readonly id: number
  /** How many of the following pages belong to this one. */
  readonly overflow: number
}

export type Page =
  | { readonly kind: 'branch'; readonly children: readonly number[] }
  | { readonly kind: 'leaf'; readonly items: readonly LeafItem[] }

/** Reads a meta page; undefined if these bytes are not one, or only part of it was written. */
export function parseMeta(page: Buffer): BoltMeta | undefined {
  if (page.length < 80 || page.readUInt16LE(8) !== META) return undefined
  const meta = page.subarray(PAGE_HEADER)
  if (meta.readUInt32LE(0) !== MAGIC || meta.readUInt32LE(4) !== VERSION) return undefined
  if (meta.readBigUInt64LE(56) !== fnv64a(meta.subarray(0, 56))) return undefined
  return {
    pageSize: meta.readUInt32LE(8),
    root: readPageNumber(meta, 16),
    pages: readPageNumber(meta, 40),
    transaction: meta.readBigUInt64LE(48),
  }
}

export function parseHeader(page: Buffer): PageHeader {
  return { id: readPageNumber(page, 0), overflow: page.readUInt32LE(12) }
}

/** Reads a page with its overflow pages. Throws SNAPSHOT_INVALID if an element is outside of it. */
export function parsePage(page: Buffer): Page {
  const flags = page.readUInt16LE(8)
  const count = page.readUInt16LE(10)
  if (PAGE_HEADER + count * ELEMENT > page.length) throw damagedSnapshot('a page is too short')
  if (flags === BRANCH) return { kind: 'branch', children: parseChildren(page, count) }
  if (flags === LEAF) return { kind: 'leaf', items: parseItems(page, count) }
  throw damagedSnapshot('a page is neither a branch nor a leaf')
}

function parseChildren(page: Buffer, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) =>
    readPageNumber(page, PAGE_HEADER + index * ELEMENT + 8),
  )
}

function parseItems(page: Buffer, count: number): readonly LeafItem[] {
  return Array.from({ length: count }, (_, index) => {
    const at = PAGE_HEADER + index * ELEMENT
    const start = at + page.readUInt32LE(at + 4)
    const middle = start + page.readUInt32LE(at + 8)
    const end = middle + page.readUInt32LE(at + 12)
    if (end > page.length) throw damagedSnapshot('an entry extends past its page')
    return {
      key: page.subarray(start, middle),
      value: page.subarray(middle, end),
      isBucket: (page.readUInt32LE(at) & BUCKET) !== 0,
    }
  })
}

function readPageNumber(bytes: Buffer, at: number): number {
  const number = bytes.readBigUInt64LE(at)
  if (number > BigInt(Number.MAX_SAFE_INTEGER)) throw damagedSnapshot('a page number is too large')
  return Number(number)
}

/** FNV-1a of 64 bits (Go: hash/fnv). */
function fnv64a(bytes: Buffer): bigint {
  let sum = 0xcbf29ce484222325n
  for (const byte of bytes) sum = BigInt.asUintN(64, (sum ^ BigInt(byte)) * 0x100000001b3n)
  return sum
}

export function damagedSnapshot(why: string): BridgeError {
  return new BridgeError(
    'SNAPSHOT_INVALID',
    `the snapshot is damaged: ${why}; take another copy of it, or an older one`,
  )
}
