import { BridgeError } from '../errors.ts'
import { oneLine } from '../text/one-line.ts'
import type { RangeResponse } from '../gen/etcd/v3/rpc_pb.ts'
import { MAX_ANSWER_BYTES, type EtcdClient } from './client.ts'
import { PageSize } from '../page-size.ts'
import { firstPart, prefixesOf, type KeySelection, type Store, type StoredObject } from './store.ts'

const PAGE_BYTES = 512 * 1024
const MAX_PREFIXES = 20
const MAX_SHOWN = 300
const MAX_REVISIONS = 1_000
/**
 * Keys in one piece of a long range. For each page etcd walks its index to the end of the requested range, regardless of
 * the limit (etcd: server/storage/mvcc/index.go, Revisions), so its work would grow with the square of the number of keys. With
 * 300,000 keys on etcd 3.6.16, reading without pieces took 16 s of processor time, with pieces 4 s.
 *
 * kine is not read in pieces: before 0.16 it treats every range as the keys of one folder (kine: pkg/server/list.go), and its
 * database stops at the limit.
 */
const PIECE_KEYS = 10_000
/** The range end that means "to the last key" (etcd: api/etcdserverpb/rpc.proto). */
const NO_END = Buffer.of(0)

export interface EtcdStoreOptions {
  readonly client: Pick<EtcdClient, 'endpoint' | 'range' | 'readErrors' | 'close'>
  /** Called when etcd was compacted during the read, with the revision and key at which reading continues. */
  readonly onCompaction: (revision: bigint, key: string) => void
}

/** Keys from `key` to `end`, excluding `end`. */
interface Piece {
  readonly key: Uint8Array
  readonly end: Uint8Array
}

interface RangeQuestion {
  readonly key: Uint8Array
  readonly rangeEnd?: Uint8Array
  readonly limit?: bigint
  readonly keysOnly?: boolean
  readonly countOnly?: boolean
}

/**
 * Reads live etcd in pages at one revision, one request at a time. kube-apiserver compacts etcd every five minutes (flag
 * --etcd-compaction-interval), so a longer read continues at a newer revision from the key it reached: each object is still
 * read once, as it was at some moment after the start.
 *
 * Reads are linearizable (RangeRequest.serializable is not set): a member that lags behind must not prove an old state.
 */
export class EtcdStore implements Store {
  readonly #client: EtcdStoreOptions['client']
  readonly #onCompaction: EtcdStoreOptions['onCompaction']
  readonly #revisions: bigint[] = []
  readonly foundMarkers = new Set<string>()
  #read = 0
  #total: number | undefined
  #isEtcd = true
  #faults: readonly string[] = []
  /** Of the first response: each cluster has its own id. */
  #cluster: { readonly id: bigint; readonly endpoint: string } | undefined

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

  get faults(): readonly string[] {
    return this.#faults
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
    const total = counts.reduce((sum, count) => sum + count, 0)
    this.#total = total
    for (const marker of selection.markers ?? [])
      if (await this.#exists(marker)) this.foundMarkers.add(marker)
    const size = new PageSize(PAGE_BYTES)
    for (const [index, range] of ranges.entries()) {
      const isLong = this.#isEtcd && (counts[index] ?? 0) > PIECE_KEYS
      const pieces = isLong ? this.#cut(range, signal) : [{ key: range, end: endOf(range) }]
      for await (const piece of pieces) yield* this.#readPiece(piece, size, signal)
    }
    if (signal.aborted) return
    this.#requireAll(total)
    if (this.#isEtcd) this.#faults = findFaults(await this.#client.readErrors())
  }

  /** Counts at a revision that was compacted meanwhile say nothing about the rest. */
  #requireAll(total: number): void {
    if (this.#revisions.length !== 1 || this.#read === total) return
    throw new BridgeError(
      'ETCD_FAILED',
      `${this.name} returned ${String(this.#read)} of the ${String(total)} keys that it counted at the same revision, so nothing is proved; check that it is etcd, or a current version of kine`,
    )
  }

  /** Skips from each first segment to the next one. */
  async findPrefixes(): Promise<readonly string[]> {
    const found: string[] = []
    let key: Buffer = Buffer.of(0)
    while (found.length < MAX_PREFIXES) {
      const { kvs } = await this.#range({
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

  async readRevisions(prefix: string): Promise<ReadonlyMap<string, string>> {
    const key = Buffer.from(prefix)
    const limit = BigInt(MAX_REVISIONS)
    const { kvs } = await this.#range({ key, rangeEnd: endOf(key), keysOnly: true, limit })
    return new Map(
      kvs.map((found) => [Buffer.from(found.key).toString('utf8'), String(found.modRevision)]),
    )
  }

  close(): Promise<void> {
    this.#client.close()
    return Promise.resolve()
  }

  async #exists(key: string): Promise<boolean> {
    const { count } = await this.#ask({ key: Buffer.from(key), countOnly: true })
    return count > 0n
  }

  /** Counts at the revision of the first response, which all pages share. */
  async #count(range: Buffer): Promise<number> {
    const answer = await this.#ask({ key: range, rangeEnd: endOf(range), countOnly: true })
    if (this.#revisions.length === 0) {
      this.#revisions.push(answer.header?.revision ?? 0n)
      this.#isEtcd = answer.header?.clusterId !== 0n
    }
    return Number(answer.count)
  }

  async *#cut(range: Buffer, signal: AbortSignal): AsyncIterable<Piece> {
    const end = endOf(range)
    let key: Uint8Array = range
    while (!signal.aborted) {
      const limit = BigInt(PIECE_KEYS + 1)
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
      yield this.#isEtcd ? page.kvs : page.kvs.filter((object) => !isHealthKey(object))
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

  /** Sends a request at the revision of all pages, or at a newer one once etcd has compacted that revision. */
  async #ask(request: RangeQuestion): Promise<RangeResponse> {
    for (;;) {
      try {
        return await this.#range({ ...request, revision: this.#revisions.at(-1) ?? 0n })
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        if (error.code !== 'ETCD_COMPACTED') throw error
        await this.#continueAtNewest(request.key)
      }
    }
  }

  /** Endpoints of different clusters would each answer for a part of the keys. */
  async #range(request: RangeQuestion & { readonly revision?: bigint }): Promise<RangeResponse> {
    const answer = await this.#client.range(request)
    const id = answer.header?.clusterId ?? 0n
    const { endpoint } = this.#client
    this.#cluster ??= { id, endpoint }
    if (this.#cluster.id === id) return answer
    throw new BridgeError(
      'ETCD_FAILED',
      `${endpoint} belongs to another etcd cluster than ${this.#cluster.endpoint}, so nothing is proved; check --endpoints`,
    )
  }

  async #continueAtNewest(key: Uint8Array): Promise<void> {
    const { header } = await this.#range({ key, countOnly: true })
    const revision = header?.revision ?? 0n
    this.#revisions.push(revision)
    this.#onCompaction(revision, Buffer.from(key).toString('utf8').replace(/\0$/, ''))
  }
}

/** A key that kine writes itself, so that it is not empty (kine: pkg/server/types.go, HealthKey). */
function isHealthKey({ key, value }: StoredObject): boolean {
  return (
    Buffer.from(key).toString('latin1') === '/registry/health' &&
    Buffer.from(value).toString('latin1') === '{"health":"true"}'
  )
}

/**
 * What etcd reports to be wrong (etcd: server/etcdserver/api/v3rpc/maintenance.go, Status). Without space it still answers reads;
 * after an alarm CORRUPT its members hold different data.
 */
function findFaults(errors: readonly string[]): readonly string[] {
  const others = errors.filter((error) => !/^memberID:\d+ +alarm:NOSPACE\s*$/.test(error))
  return others.map(
    (error) =>
      `etcd reports "${oneLine(error, MAX_SHOWN)}", so what one member holds proves nothing; see etcdctl alarm list and etcdctl endpoint hashkv`,
  )
}

function bytesOf(page: RangeResponse): number {
  return page.kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
}

function tooLarge(key: Uint8Array): BridgeError {
  const name = JSON.stringify(Buffer.from(key).toString('utf8').replace(/\0$/, ''))
  return new BridgeError(
    'ETCD_FAILED',
    `an object at or after key ${name} is larger than ${String(MAX_ANSWER_BYTES / 1024 / 1024)} MiB; etcd rejects requests over 1.5 MiB unless --max-request-bytes allows them`,
  )
}

/** The first key after all keys that start with `prefix`. */
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
