import { LRUCache } from 'lru-cache'
import type { Clock } from '../../time/clock.ts'
import type { TransitKey } from '../../transit/key.ts'
import type { PublicObject } from '../class/object-types.ts'
import { copyFiles, fingerprint, type ContentFile } from './content.ts'
import { makePublicFiles } from './public-content.ts'

/** See docs/design.md, "Memory bounds". */
const MAX_BYTES = 8 * 1024 * 1024
/** Several times the interval between two republishes (60 to 90 s; docs/design.md, "CSI content"). */
const IDLE_MS = 5 * 60_000
/** Overhead of an entry and of each of its files. */
const FILE_BYTES = 512

/**
 * Files made from key metadata, by the object of the class and by the metadata. Most republishes find the same ones, and
 * encoding a hundred versions of a key takes about 10 ms.
 */
export class PublicContentCache {
  readonly #made: LRUCache<string, readonly ContentFile[]>
  /** Pods that start together ask for the same files together. */
  readonly #making = new Map<string, Promise<readonly ContentFile[]>>()
  readonly #digests = new WeakMap<TransitKey, string>()

  readonly #make: typeof makePublicFiles

  constructor(clock: Clock, make = makePublicFiles) {
    this.#make = make
    this.#made = new LRUCache({
      maxSize: MAX_BYTES,
      sizeCalculation: sizeOf,
      ttl: IDLE_MS,
      ttlResolution: 0,
      updateAgeOnGet: true,
      perf: { now: () => clock.monotonic() },
    })
  }

  /** Returns copies, which the caller owns. Throws the errors of makePublicFiles. */
  async make(object: PublicObject, keys: readonly TransitKey[]): Promise<ContentFile[]> {
    const { index: _index, ...content } = object
    const id = fingerprint([JSON.stringify(content), ...keys.map((key) => this.#digestOf(key))])
    return copyFiles(
      this.#made.get(id) ?? (await (this.#making.get(id) ?? this.#add(id, object, keys))),
    )
  }

  /** Size of all entries as counted for the limit. */
  get bytes(): number {
    return this.#made.calculatedSize
  }

  #add(
    id: string,
    object: PublicObject,
    keys: readonly TransitKey[],
  ): Promise<readonly ContentFile[]> {
    const making = this.#make(object, keys).finally(() => this.#making.delete(id))
    this.#making.set(id, making)
    return making.then((files) => {
      this.#made.purgeStale()
      this.#made.set(id, files)
      return files
    })
  }

  /** Each read of a key makes a new object with mostly the same metadata. */
  #digestOf(key: TransitKey): string {
    const known = this.#digests.get(key)
    if (known !== undefined) return known
    const { versions, ...facts } = key
    const digest = fingerprint([JSON.stringify(facts), JSON.stringify([...versions])])
    this.#digests.set(key, digest)
    return digest
  }
}

function sizeOf(files: readonly ContentFile[]): number {
  return files.reduce(
    (sum, { contents, path }) => sum + FILE_BYTES + contents.byteLength + 2 * path.length,
    FILE_BYTES,
  )
}
