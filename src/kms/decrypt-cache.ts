import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { OpenedEnvelope } from '../seed/envelope.ts'

export interface DecryptCacheOptions {
  /** Most DEK seeds kept; the least used goes first. */
  readonly maxEntries: number
  /** Milliseconds that a seed is kept at most. */
  readonly ttl: number
  /** Milliseconds that never go back. Default: performance.now. */
  readonly now?: () => number
}

/**
 * DEK seeds already decrypted (kms.decryptCache, off by default, design §2.9). Whoever can read this
 * process's memory reads them, which is as true of kube-apiserver, which keeps the same seeds for 24 h.
 */
export class DecryptCache {
  readonly #seeds: LRUCache<string, Buffer>

  constructor(options: DecryptCacheOptions) {
    this.#seeds = new LRUCache({
      max: options.maxEntries,
      ttl: options.ttl,
      // One timer for each seed: it must be gone from memory at its end, not at the next look.
      ttlAutopurge: true,
      ttlResolution: 0,
      perf: { now: options.now ?? (() => performance.now()) },
      dispose: (seed) => seed.fill(0),
    })
  }

  get size(): number {
    return this.#seeds.size
  }

  /** A copy, which the caller owns and zeroes. */
  find(envelope: OpenedEnvelope): Buffer | undefined {
    const seed = this.#seeds.get(digest(envelope))
    return seed === undefined ? undefined : Buffer.from(seed)
  }

  /** Keeps a copy of the plaintext. */
  keep(envelope: OpenedEnvelope, plaintext: Uint8Array): void {
    this.#seeds.set(digest(envelope), Buffer.from(plaintext))
  }

  /** Zeroes and forgets all, as when Vault refuses: then nothing may be read that Vault would not give. */
  clear(): void {
    this.#seeds.clear()
  }
}

/** Over ciphertext and AAD, each behind its length: the same ciphertext with other annotations is a miss. */
function digest({ ciphertext, associatedData }: OpenedEnvelope): string {
  const hash = createHash('sha256').update(`${String(ciphertext.length)}:${ciphertext}`)
  if (associatedData !== undefined) hash.update(associatedData)
  return hash.digest('base64')
}
