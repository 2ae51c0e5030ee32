import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { OpenedEnvelope } from '../seed/envelope.ts'
import type { CancelTimer, Clock } from '../time/clock.ts'
import { elapsedTime } from '../time/elapsed-time.ts'

/**
 * What kube-apiserver encrypts: the DEK seeds of KMS v2 and the DEKs of KMS v1 have 32 bytes
 * (staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/envelope/envelope.go, generateKey). Anything else, as the
 * "ping" of KMS v1's health probe, is not read twice and would only evict seeds.
 */
const SEED_BYTES = 32

/** Expired seeds are zeroed at intervals of this part of their lifetime, within these bounds. */
const SWEEP_SHARE = 1 / 60
const SHORTEST_SWEEP_MS = 1_000
const LONGEST_SWEEP_MS = 60_000

export interface DecryptCacheOptions {
  /** Maximum number of DEK seeds; the least recently used one is evicted first. */
  readonly maxEntries: number
  /** Longest time that a seed is kept. Time in which the machine was suspended counts. */
  readonly ttlMs: number
  readonly clock: Clock
}

/**
 * DEK seeds that were decrypted (kms.decryptCache, off by default; docs/design.md, "Decrypt cache"). The seeds are in
 * one buffer of fixed size. A process that can read this memory can read them; the same is true of kube-apiserver, which
 * keeps the same seeds for 24 hours.
 */
export class DecryptCache {
  readonly #options: DecryptCacheOptions
  readonly #slots: LRUCache<string, number>
  readonly #freeSlots: number[] = []
  readonly #seeds: Buffer
  #usedSlots = 0
  #cancelSweep: CancelTimer | undefined

  constructor(options: DecryptCacheOptions) {
    const { maxEntries, ttlMs, clock } = options
    this.#options = options
    const age = elapsedTime(clock)
    // One more than entries: a new seed is written before the one that it evicts is zeroed.
    this.#seeds = Buffer.alloc((maxEntries + 1) * SEED_BYTES)
    this.#slots = new LRUCache({
      max: maxEntries,
      ttl: ttlMs,
      ttlResolution: 0,
      // LRUCache takes a start at 0 for one without a ttl.
      perf: { now: () => 1 + age() },
      dispose: (slot) => this.#release(slot),
    })
  }

  get size(): number {
    return this.#slots.size
  }

  /** Returns a copy, which the caller owns and zeroes. */
  find(envelope: OpenedEnvelope): Buffer | undefined {
    const slot = this.#slots.get(digest(envelope))
    return slot === undefined ? undefined : Buffer.from(this.#at(slot))
  }

  /** Keeps a copy of a DEK seed; ignores any other plaintext. */
  keep(envelope: OpenedEnvelope, plaintext: Uint8Array): void {
    if (plaintext.byteLength !== SEED_BYTES) return
    const slot = this.#freeSlots.pop() ?? this.#usedSlots++
    this.#at(slot).set(plaintext)
    this.#slots.set(digest(envelope), slot)
    this.#scheduleSweep()
  }

  /** Zeroes and removes every seed. Called when Vault refuses: what Vault would not decrypt is not answered from here. */
  clear(): void {
    this.#slots.clear()
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
  }

  #at(slot: number): Buffer {
    return this.#seeds.subarray(slot * SEED_BYTES, (slot + 1) * SEED_BYTES)
  }

  #release(slot: number): void {
    this.#at(slot).fill(0)
    this.#freeSlots.push(slot)
  }

  #scheduleSweep(): void {
    const { clock, ttlMs } = this.#options
    const waitMs = Math.min(Math.max(ttlMs * SWEEP_SHARE, SHORTEST_SWEEP_MS), LONGEST_SWEEP_MS)
    this.#cancelSweep ??= clock.after(waitMs, () => {
      this.#cancelSweep = undefined
      this.#slots.purgeStale()
      if (this.size > 0) this.#scheduleSweep()
    })
  }
}

/**
 * Hashes the length of the ciphertext, the ciphertext and the AAD. The AAD needs no length: it is the last part, and its
 * encoding is unique. So the same ciphertext with other annotations is a miss.
 */
function digest({ ciphertext, associatedData }: OpenedEnvelope): string {
  const hash = createHash('sha256').update(`${String(ciphertext.length)}:${ciphertext}`)
  if (associatedData !== undefined) hash.update(associatedData)
  return hash.digest('base64')
}
