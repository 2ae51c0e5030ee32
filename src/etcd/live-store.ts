import { BridgeError } from '../errors.ts'
import type { RangeResponse } from '../gen/etcd/v3/rpc_pb.ts'
import type { EtcdClient } from './client.ts'
import { PageSize } from '../page-size.ts'
import { firstPart, prefixesOf, type KeySelection, type Store, type StoredObject } from './store.ts'

const PAGE_BYTES = 512 * 1024
const MOST_PREFIXES = 20
/**
 * For each page etcd walks through its index to the end of the range that was asked for, whatever the limit is
 * (server/storage/mvcc/index.go: Revisions counts on). So a long range is cut into pieces first, or the work of etcd would
 * grow with the square of the keys: measured with 300,000, 16 s of processor time instead of 4.
 */
const SPAN = 10_000
/** The end of a range that has none. */
const NO_END = Buffer.of(0)

export interface EtcdStoreOptions {
  readonly client: EtcdClient
  /** Told when etcd was compacted while it was read, and from where the reading went on. */
  readonly onCompaction: (revision: bigint, key: string) => void
}

/** Keys from one up to another, which is not among them. */
interface Piece {
  readonly key: Uint8Array
  readonly end: Uint8Array
}

interface Question {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
  readonly limit: bigint
  readonly keysOnly?: boolean
}

/**
 * Live etcd, read in pages at one revision, one request at a time. kube-apiserver compacts every five minutes and keeps
 * as much of the past, so a longer reading goes on at a newer revision from the key it had come to: each object is still
 * read once and as it was at some moment after the beginning.
 *
 * Reads are linearizable: a member that lags behind must not prove what is no longer true.
 */
export class EtcdStore implements Store {
  readonly #client: EtcdClient
  readonly #onCompaction: EtcdStoreOptions['onCompaction']
  readonly #revisions: bigint[] = []
  #read = 0
  #total: number | undefined

  constructor(options: EtcdStoreOptions) {
    this.#client = options.client
    this.#onCompaction = options.onCompaction
  }

  get name(): string {
    return `etcd at ${this.#client.endpoint}`
  }

  get revisions(): readonly bigint[] {
    return this.#revisions
  }

  get fraction(): number | undefined {
    if (this.#total === undefined || this.#total === 0) return undefined
    return Math.min(1, this.#read / this.#total)
  }

  async *readPages(
    selection: KeySelection,
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredObject[]> {
    const ranges = prefixesOf(selection).map((prefix) => Buffer.from(prefix))
    const counts: number[] = []
    for (const range of ranges) counts.push(await this.#count(range))
    this.#total = counts.reduce((sum, count) => sum + count, 0)
    const size = new PageSize(PAGE_BYTES)
    for (const [index, range] of ranges.entries()) {
      const isLong = (counts[index] ?? 0) > SPAN
      const pieces = isLong ? this.#cut(range, signal) : [{ key: range, end: endOf(range) }]
      for await (const piece of pieces) yield* this.#readPiece(piece, size, signal)
    }
  }

  /** Jumps from each first part of keys to the one behind it. */
  async findPrefixes(): Promise<readonly string[]> {
    const found: string[] = []
    let key: Buffer = Buffer.of(0)
    while (found.length < MOST_PREFIXES) {
      const { kvs } = await this.#client.range({
        key,
        rangeEnd: NO_END,
        limit: 1n,
        keysOnly: true,
      })
      const [first] = kvs
      if (first === undefined) break
      const part = firstPart(Buffer.from(first.key).toString('utf8'))
      found.push(part)
      key = endOf(Buffer.from(part))
      if (key.equals(NO_END)) break
    }
    return found
  }

  close(): Promise<void> {
    this.#client.close()
    return Promise.resolve()
  }

  /** At the revision of the first answer, which all pages share. */
  async #count(range: Buffer): Promise<number> {
    const [revision = 0n] = this.#revisions
    const answer = await this.#client.range({
      key: range,
      rangeEnd: endOf(range),
      countOnly: true,
      revision,
    })
    if (revision === 0n) this.#revisions.push(answer.header?.revision ?? 0n)
    return Number(answer.count)
  }

  async *#cut(range: Buffer, signal: AbortSignal): AsyncIterable<Piece> {
    const end = endOf(range)
    let key: Uint8Array = range
    while (!signal.aborted) {
      const limit = BigInt(SPAN + 1)
      const { kvs, more } = await this.#ask({ key, rangeEnd: end, limit, keysOnly: true })
      const next = more ? kvs.at(-1)?.key : undefined
      yield { key, end: next ?? end }
      if (next === undefined) return
      key = next
    }
  }

  async *#readPiece(
    { key: first, end }: Piece,
    size: PageSize,
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredObject[]> {
    let key = first
    for (let more = true; more && !signal.aborted;) {
      const page = await this.#readPage(key, end, size)
      size.learn(page.kvs.length, bytesOf(page))
      this.#read += page.kvs.length
      yield page.kvs
      const last = page.kvs.at(-1)
      more = page.more && last !== undefined
      if (last !== undefined) key = Buffer.concat([last.key, Buffer.of(0)])
    }
  }

  async #readPage(key: Uint8Array, rangeEnd: Uint8Array, size: PageSize): Promise<RangeResponse> {
    for (;;) {
      try {
        return await this.#ask({ key, rangeEnd, limit: BigInt(size.limit) })
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        if (error.code !== 'OVERLOADED') throw error
        if (!size.shrink()) throw tooLarge(key)
      }
    }
  }

  /** Asks at the revision of all pages; at a newer one when etcd has that one no longer. */
  async #ask(request: Question): Promise<RangeResponse> {
    for (;;) {
      try {
        return await this.#client.range({ ...request, revision: this.#revisions.at(-1) ?? 0n })
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        if (error.code !== 'ETCD_COMPACTED') throw error
        await this.#moveOn(request.key)
      }
    }
  }

  async #moveOn(key: Uint8Array): Promise<void> {
    const { header } = await this.#client.range({ key, limit: 1n, keysOnly: true })
    const revision = header?.revision ?? 0n
    this.#revisions.push(revision)
    this.#onCompaction(revision, Buffer.from(key).toString('utf8').replace(/\0$/, ''))
  }
}

function bytesOf(page: RangeResponse): number {
  return page.kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
}

function tooLarge(key: Uint8Array): BridgeError {
  const name = JSON.stringify(Buffer.from(key).toString('utf8').replace(/\0$/, ''))
  return new BridgeError(
    'ETCD_FAILED',
    `the first object from ${name} on is larger than this program takes in; etcd itself refuses such sizes unless told otherwise`,
  )
}

/** The first key behind all that start with `prefix`. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix)
  for (let last = end.length - 1; last >= 0; last -= 1) {
    const byte = end.readUInt8(last)
    if (byte < 0xff) {
      end.writeUInt8(byte + 1, last)
      return end.subarray(0, last + 1)
    }
  }
  return NO_END
}
