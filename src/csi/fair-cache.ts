import { LRUCache } from 'lru-cache'

export interface FairCacheOptions<V> {
  /** Maximum total size of all entries. */
  readonly maxSize: number
  /** Called for each value that leaves the cache or is replaced, after it has left. */
  readonly onLeave?: ((value: V) => void) | undefined
}

/** Who an entry counts for, and its size. */
export interface Share {
  readonly owner: string
  readonly size: number
}

/**
 * A cache with a fair share for each owner, because all pods of a node share it. If the bound is exceeded, the least
 * recently used entry of the owner with the largest share leaves, so one that caches much never removes the entries of
 * others that cache little. An entry counts for the owner that stored it first.
 */
export class FairCache<V extends object | string | number> {
  readonly #options: FairCacheOptions<V>
  readonly #shares = new Map<string, LRUCache<string, V>>()
  readonly #ownerOf = new Map<string, string>()
  #total = 0

  constructor(options: FairCacheOptions<V>) {
    this.#options = options
  }

  /** Number of entries. */
  get size(): number {
    return this.#ownerOf.size
  }

  get(key: string): V | undefined {
    return this.#shareOf(key)?.get(key)
  }

  set(key: string, value: V, { owner, size }: Share): void {
    const first = this.#ownerOf.get(key) ?? owner
    const share = this.#shares.get(first) ?? this.#addShare(first)
    this.#change(first, share, () => {
      this.#ownerOf.set(key, first)
      share.set(key, value, { size })
      // The library does not keep an entry that is larger than the cache.
      if (!share.has(key)) this.#ownerOf.delete(key)
    })
    let isShrinking = true
    while (isShrinking && this.#total > this.#options.maxSize) isShrinking = this.#shrink(key)
  }

  delete(key: string): void {
    const owner = this.#ownerOf.get(key)
    const share = this.#shareOf(key)
    if (owner !== undefined && share !== undefined)
      this.#change(owner, share, () => share.delete(key))
  }

  clear(): void {
    for (const [owner, share] of this.#shares) this.#change(owner, share, () => share.clear())
  }

  *values(): Iterable<V> {
    for (const share of this.#shares.values()) yield* share.values()
  }

  #shareOf(key: string): LRUCache<string, V> | undefined {
    const owner = this.#ownerOf.get(key)
    return owner === undefined ? undefined : this.#shares.get(owner)
  }

  #addShare(owner: string): LRUCache<string, V> {
    const { maxSize, onLeave } = this.#options
    const share = new LRUCache<string, V>({
      maxSize,
      disposeAfter: (value, key, reason) => {
        if (reason !== 'set') this.#ownerOf.delete(key)
        onLeave?.(value)
      },
    })
    this.#shares.set(owner, share)
    return share
  }

  #change(owner: string, share: LRUCache<string, V>, change: () => void): void {
    const before = share.calculatedSize
    change()
    this.#total += share.calculatedSize - before
    if (share.size === 0) this.#shares.delete(owner)
  }

  /** Removes an entry of the largest share, but not the new one. Returns whether there was another. */
  #shrink(added: string): boolean {
    let largest: readonly [string, LRUCache<string, V>] | undefined
    for (const [owner, share] of this.#shares) {
      if (share.size === 1 && share.has(added)) continue
      if (largest === undefined || share.calculatedSize > largest[1].calculatedSize)
        largest = [owner, share]
    }
    if (largest === undefined) return false
    const [owner, share] = largest
    this.#change(owner, share, () => share.pop())
    return true
  }
}
