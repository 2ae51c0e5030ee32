import { encodeAssociatedData, makeLocalAnnotations } from '../../seed/annotations.ts'
import type { Envelope } from '../../seed/envelope.ts'
import { sealSeed } from '../../seed/local-seal.ts'
import type { LocalKeyRing, RingNote } from './ring.ts'

/**
 * The local key that the plugins of other nodes know, because stored data is under it. During an outage it replaces a newer one,
 * which only Vault could decrypt for them (docs/design.md, "Local keys").
 */
export class SharedKey {
  readonly #ring: Pick<LocalKeyRing, 'find'>
  #note: RingNote | undefined

  constructor(ring: Pick<LocalKeyRing, 'find'>) {
    this.#ring = ring
  }

  /** An API server read data under a local key. */
  noteRead({ ciphertext, clusterId, keyId }: RingNote): void {
    if (this.#note?.ciphertext !== ciphertext) this.#note = { ciphertext, clusterId, keyId }
  }

  /** This plugin encrypts with a local key, so data may be stored under it. A key under which data was read takes precedence. */
  noteUse(note: RingNote): void {
    if (this.#note?.keyId !== note.keyId) this.#note = note
  }

  /** Every local key was zeroed. */
  clear(): void {
    this.#note = undefined
  }

  isSame({ ciphertext }: RingNote): boolean {
    return this.#note?.ciphertext === ciphertext
  }

  /** Encrypts a DEK seed; undefined if no such local key is known for the key id. */
  seal(seed: Uint8Array, keyId: string): Envelope | undefined {
    const note = this.#note
    if (note?.keyId !== keyId) return undefined
    const key = this.#ring.find(note)
    if (key === undefined) return undefined
    try {
      const annotations = makeLocalAnnotations(note.clusterId, note.ciphertext)
      const ciphertext = sealSeed(key, seed, encodeAssociatedData(annotations))
      return { ciphertext, keyId, annotations }
    } finally {
      key.fill(0)
    }
  }
}
