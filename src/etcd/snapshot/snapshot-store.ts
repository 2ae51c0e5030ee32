import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'

import { BridgeError } from '../../errors.ts'
import { KeyValueSchema, type KeyValue } from '../../gen/etcd/v3/rpc_pb.ts'
import { BoltFile } from './bolt-file.ts'
import { damagedSnapshot, type LeafItem } from './bolt-page.ts'
import { DigestSet } from '../../digest-set.ts'
import { openRegularFile } from '../../files/regular-file.ts'
import { checkSnapshot, type Checksum } from './checksum.ts'
import {
  firstPart,
  prefixesOf,
  type KeySelection,
  type Store,
  type StoredObject,
} from '../store.ts'

/** The bucket with all revisions of all keys (etcd: server/storage/schema/bucket.go). */
const BUCKET = 'key'
/** A revision is 8 bytes, an underscore, 8 bytes; a tombstone adds a "t" (etcd: server/storage/mvcc/revision.go). */
const REVISION_BYTES = 17
const MAX_PREFIXES = 20
/** A page of the file holds a few objects; they are passed on in pages like those of live etcd. */
const PAGE_OBJECTS = 200
const PAGE_BYTES = 1024 * 1024

/**
 * Reads an etcd snapshot directly as a bbolt file: that needs no etcd on the host, no disk space for a copy, and cannot
 * change the file.
 *
 * Revisions are ordered by time, so the file is read from its end: the first revision of a key is its current one, and a
 * tombstone means that the key was deleted. The set of keys already seen takes about 40 bytes a key. The file is read
 * twice, the first time for its checksum.
 */
export class SnapshotStore implements Store {
  readonly name: string
  /** Whether the file carries a checksum; a wrong one is an error of `open`. */
  readonly checksum: Checksum
  readonly #path: string
  readonly #file: FileHandle
  readonly #bolt: BoltFile
  #revision: bigint | undefined
  readonly #prefixes = new Set<string>()
  readonly foundMarkers = new Set<string>()
  readonly faults: readonly string[] = []

  /** Throws USAGE_INVALID if the file cannot be read, SNAPSHOT_INVALID if it is not a complete snapshot. */
  static async open(path: string): Promise<SnapshotStore> {
    const file = await openRegularFile(path, `etcd snapshot ${path}`)
    try {
      // The header first, so that another kind of file is reported as such and not as a truncated snapshot.
      const bolt = await BoltFile.open(file)
      return new SnapshotStore(path, file, bolt, await checkSnapshot(file))
    } catch (error) {
      await file.close()
      throw withPath(path, error)
    }
  }

  private constructor(path: string, file: FileHandle, bolt: BoltFile, checksum: Checksum) {
    this.name = `snapshot ${basename(path)}`
    this.#path = path
    this.#file = file
    this.#bolt = bolt
    this.checksum = checksum
  }

  get revisions(): readonly bigint[] {
    return this.#revision === undefined ? [] : [this.#revision]
  }

  get fraction(): number {
    return this.#bolt.fraction
  }

  async *readPages(
    selection: KeySelection,
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredObject[]> {
    try {
      yield* this.#readPages(selection, signal)
    } catch (error) {
      throw withPath(this.#path, error)
    }
  }

  async *#readPages(
    selection: KeySelection,
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredObject[]> {
    const prefixes = prefixesOf(selection).map((prefix) => Buffer.from(prefix))
    const markers = new Set(selection.markers ?? [])
    const leaves = await this.#bolt.openBucket(BUCKET)
    if (leaves === undefined) {
      throw new BridgeError(
        'SNAPSHOT_INVALID',
        'the file is a bbolt database, but not of etcd 3: it has no bucket of keys',
      )
    }
    const seen = new DigestSet()
    let page: StoredObject[] = []
    for await (const items of leaves) {
      if (signal.aborted) return
      for (const item of items) {
        const live = this.#readItem(item, seen)
        if (live === undefined) continue
        if (isSelected(live.key, prefixes)) page.push(live)
        const name = Buffer.from(live.key).toString('utf8')
        if (markers.has(name)) this.foundMarkers.add(name)
      }
      if (page.length < PAGE_OBJECTS && sizeOf(page) < PAGE_BYTES) continue
      yield page
      page = []
    }
    yield page
  }

  findPrefixes(): Promise<readonly string[]> {
    return Promise.resolve([...this.#prefixes].toSorted())
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** The object of an entry; undefined if it was overwritten or deleted later. */
  #readItem(item: LeafItem, seen: DigestSet): StoredObject | undefined {
    const isTombstone = item.key.length === REVISION_BYTES + 1
    if (!isTombstone && item.key.length !== REVISION_BYTES)
      throw damagedSnapshot('an entry has no valid revision')
    this.#revision ??= item.key.readBigUInt64BE(0)
    const { key, value } = decode(item.value)
    if (!seen.add(key) || isTombstone) return undefined
    if (this.#prefixes.size < MAX_PREFIXES) {
      this.#prefixes.add(firstPart(Buffer.from(key).toString('utf8')))
    }
    return { key, value }
  }
}

/** A command may read several snapshots. */
function withPath(path: string, thrown: unknown): unknown {
  if (!(thrown instanceof BridgeError)) return thrown
  return new BridgeError(thrown.code, `etcd snapshot ${path}: ${thrown.message}`, { cause: thrown })
}

function sizeOf(page: readonly StoredObject[]): number {
  return page.reduce((sum, { value }) => sum + value.length, 0)
}

function isSelected(key: Uint8Array, prefixes: readonly Buffer[]): boolean {
  return prefixes.some((prefix) => prefix.equals(key.subarray(0, prefix.length)))
}

function decode(bytes: Uint8Array): KeyValue {
  try {
    return fromBinary(KeyValueSchema, bytes)
  } catch {
    throw damagedSnapshot('an entry is not a key-value pair')
  }
}
