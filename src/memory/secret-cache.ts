import { LRUCache } from 'lru-cache'

import type { CancelTimer, Clock } from '../time/clock.ts'
import { elapsedTime } from '../time/elapsed-time.ts'

/** Expired secrets are zeroed at intervals of this part of their lifetime, within these bounds. */
const SWEEP_SHARE = 1 / 60
const SHORTEST_SWEEP_MS = 1_000
const LONGEST_SWEEP_MS = 60_000

export interface SecretCacheOptions {
  /** Maximum number of secrets; the least recently used one is evicted first. */
  readonly maxEntries: number
  /** The length of every secret. */
  readonly secretBytes: number
  /** Longest time that a secret is kept. Time in which the machine was suspended counts. Default: no limit. */
  readonly ttlMs?: number | undefined
  readonly clock: Clock
}

interface Slot<Note> {
  readonly index: number
  readonly note: Note
}

/**
 * Secrets of one length, with a note to each, in one buffer of fixed size. A secret is zeroed when it is evicted, expires or
 * is removed.
 */
export class SecretCache<Note extends object | undefined = undefined> {
  readonly #options: SecretCacheOptions
  readonly #slots: LRUCache<string, Slot<Note>>
  readonly #freeSlots: number[] = []
  readonly #secrets: Buffer
  #usedSlots = 0
  #cancelSweep: CancelTimer | undefined

  constructor(options: SecretCacheOptions) {
    const { maxEntries, secretBytes, ttlMs = 0, clock } = options
    this.#options = options
    const age = elapsedTime(clock)
    // One more than entries: a new secret is written before the one that it evicts is zeroed.
    this.#secrets = Buffer.alloc((maxEntries + 1) * secretBytes)
    this.#slots = new LRUCache({
      max: maxEntries,
      ttl: ttlMs,
      ttlResolution: 0,
      // LRUCache takes a start at 0 for one without a ttl.
      perf: { now: () => 1 + age() },
      dispose: ({ index }) => this.#release(index),
    })
  }

  get size(): number {
    return this.#slots.size
  }

  /** Whether a secret is known; it counts as used. */
  has(id: string): boolean {
    return this.#slots.get(id) !== undefined
  }

  /** Returns a copy, which the caller owns and zeroes. */
  find(id: string): Buffer | undefined {
    const slot = this.#slots.get(id)
    return slot === undefined ? undefined : Buffer.from(this.#at(slot.index))
  }

  /** All secrets, as copies that the caller owns and zeroes, and their notes. The one that would be evicted next is the first. */
  list(): readonly { readonly secret: Buffer; readonly note: Note }[] {
    return [...this.#slots.values()].toReversed().map(({ index, note }) => ({
      secret: Buffer.from(this.#at(index)),
      note,
    }))
  }

  /** Keeps a copy of a secret. */
  keep(id: string, secret: Uint8Array, note: Note): void {
    if (secret.byteLength !== this.#options.secretBytes)
      throw new RangeError(`a secret has ${String(secret.byteLength)} bytes`)
    const index = this.#freeSlots.pop() ?? this.#usedSlots++
    this.#at(index).set(secret)
    this.#slots.set(id, { index, note })
    this.#scheduleSweep()
  }

  /** Zeroes and removes the secrets whose note does not satisfy a condition. */
  retain(condition: (note: Note) => boolean): void {
    const gone = [...this.#slots.entries()].filter(([, { note }]) => !condition(note))
    for (const [id] of gone) this.#slots.delete(id)
  }

  /** Zeroes and removes every secret. */
  clear(): void {
    this.#slots.clear()
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
  }

  #at(index: number): Buffer {
    const { secretBytes } = this.#options
    return this.#secrets.subarray(index * secretBytes, (index + 1) * secretBytes)
  }

  #release(index: number): void {
    this.#at(index).fill(0)
    this.#freeSlots.push(index)
  }

  #scheduleSweep(): void {
    const { clock, ttlMs } = this.#options
    if (ttlMs === undefined) return
    const waitMs = Math.min(Math.max(ttlMs * SWEEP_SHARE, SHORTEST_SWEEP_MS), LONGEST_SWEEP_MS)
    this.#cancelSweep ??= clock.after(waitMs, () => {
      this.#cancelSweep = undefined
      this.#slots.purgeStale()
      if (this.size > 0) this.#scheduleSweep()
    })
  }
}
