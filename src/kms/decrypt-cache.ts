import { createHash } from 'node:crypto'

import { SecretCache } from '../memory/secret-cache.ts'
import type { OpenedEnvelope } from '../seed/envelope.ts'
import type { Clock } from '../time/clock.ts'

/**
 * What kube-apiserver encrypts: the DEK seeds of KMS v2 and the DEKs of KMS v1 have 32 bytes
 * (staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/envelope/envelope.go, generateKey). Anything else, such as the
 * "ping" of KMS v1's health probe, is not read twice and would only evict seeds.
 */
const SEED_BYTES = 32

export interface DecryptCacheOptions {
  /** Maximum number of DEK seeds; the least recently used one is evicted first. */
  readonly maxEntries: number
  /** Longest time that a seed is kept. Time in which the machine was suspended counts. */
  readonly ttlMs: number
  readonly clock: Clock
}

/**
 * DEK seeds that were decrypted (kms.decryptCache, off by default; docs/design.md, "Decrypt cache"). A process that can
 * read this memory can read them; the same is true of kube-apiserver, which keeps the same seeds for 24 hours.
 */
export class DecryptCache {
  readonly #seeds: SecretCache
  #clears = 0

  constructor(options: DecryptCacheOptions) {
    this.#seeds = new SecretCache({ ...options, secretBytes: SEED_BYTES })
  }

  get size(): number {
    return this.#seeds.size
  }

  /** How often it was cleared. */
  get clears(): number {
    return this.#clears
  }

  /** Returns a copy, which the caller owns and zeroes. */
  find(envelope: OpenedEnvelope): Buffer | undefined {
    return this.#seeds.find(digest(envelope))
  }

  /**
   * Keeps a copy of a DEK seed; ignores any other plaintext. `clears` is from before Vault was asked: what it answered before a
   * refusal is not kept after it.
   */
  keep(envelope: OpenedEnvelope, plaintext: Uint8Array, clears = this.#clears): void {
    if (plaintext.byteLength === SEED_BYTES && clears === this.#clears)
      this.#seeds.keep(digest(envelope), plaintext, undefined)
  }

  /** Zeroes and removes every seed. Called when Vault refuses: the cache must not return what Vault no longer decrypts. */
  clear(): void {
    this.#clears += 1
    this.#seeds.clear()
  }
}

/**
 * Hashes the ciphertext with its length and the AAD, and then the same of what a local key encrypted. An AAD needs no length,
 * because each of its fields has one (seed/canonical-encoding.ts). So the same ciphertext with other annotations is a miss.
 */
function digest({ ciphertext, associatedData, sealed }: OpenedEnvelope): string {
  const hash = createHash('sha256').update(`${String(ciphertext.length)}:${ciphertext}`)
  if (associatedData !== undefined) hash.update(associatedData)
  if (sealed !== undefined) {
    hash.update(`sealed:${String(sealed.bytes.byteLength)}:`)
    hash.update(sealed.bytes).update(sealed.associatedData)
  }
  return hash.digest('base64')
}
