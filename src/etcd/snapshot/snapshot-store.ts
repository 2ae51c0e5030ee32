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

/** Where etcd keeps all revisions of all keys (etcd: server/storage/schema/bucket.go). */
const BUCKET = 'key'
/** A revision: 8 bytes, an underscore, 8 bytes; a tombstone has a "t" behind it (mvcc/revision.go). */
const REVISION = 17
const MOST_PREFIXES = 20
/** Pages of the file are some objects each; together they go on in pieces as from live etcd. */
const PAGE_OBJECTS = 200
const PAGE_BYTES = 1024 * 1024

/**
 * An etcd snapshot, read as the bbolt file that it is: on a user's host there need be no etcd to start on a copy of it,
 * a copy would need as much disk again, and a file that is only read cannot be harmed.
 *
 * Revisions are in the order of time, so the file is read from its end: the first revision of a key that is met is
 * the one that counts, and a tombstone says that the key is gone. What must be remembered is which keys were met, in
 * some 40 bytes each; the file is read twice, once for its checksum.
 */
export class SnapshotStore implements Store {
  readonly name: string
  /** Whether the file carries a checksum, which then is right. */
  readonly checksum: Checksum
  readonly #file: FileHandle
  readonly #bolt: BoltFile
  #revision: bigint | undefined
  readonly #prefixes = new Set<string>()

  /** Throws USAGE_INVALID if there is no such file, SNAPSHOT_INVALID if it is not a whole snapshot. */
  static async open(path: string): Promise<SnapshotStore> {
    const file = await openRegularFile(path, `--snapshot ${path}`)
    try {
      // First what the file is, then whether it is whole: a wrong file is told as such.
      const bolt = await BoltFile.open(file)
      return new SnapshotStore(path, file, bolt, await checkSnapshot(file))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  private constructor(path: string, file: FileHandle, bolt: BoltFile, checksum: Checksum) {
    this.name = `snapshot ${basename(path)}`
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
    const prefixes = prefixesOf(selection).map((prefix) => Buffer.from(prefix))
    const leaves = await this.#bolt.openBucket(BUCKET)
    if (leaves === undefined) {
      throw new BridgeError(
        'SNAPSHOT_INVALID',
        'the file is a bbolt database, but not one of etcd 3: it has no bucket of keys',
      )
    }
    const met = new DigestSet()
    let page: StoredObject[] = []
    for await (const items of leaves) {
      if (signal.aborted) return
      for (const item of items) {
        const live = this.#readItem(item, met)
        if (live !== undefined && isSelected(live.key, prefixes)) page.push(live)
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

  /** The live object that an entry is; undefined if it was written over or deleted later. */
  #readItem(item: LeafItem, met: DigestSet): StoredObject | undefined {
    const isTombstone = item.key.length === REVISION + 1
    if (!isTombstone && item.key.length !== REVISION) throw damagedSnapshot('a revision is not one')
    this.#revision ??= item.key.readBigUInt64BE(0)
    const { key, value } = decode(item.value)
    if (!met.add(key) || isTombstone) return undefined
    if (this.#prefixes.size < MOST_PREFIXES) {
      this.#prefixes.add(firstPart(Buffer.from(key).toString('utf8')))
    }
    return { key, value }
  }
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
    throw damagedSnapshot('an entry is not a key with a value')
  }
}
