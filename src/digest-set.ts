import { hash } from 'node:crypto'

const WORDS = 4
const INITIAL_CAPACITY = 1024
const MAX_LOAD = 0.6

/**
 * A set of byte strings of any length that stores 16 bytes of each, the first half of its SHA-256, for which finding a
 * collision is infeasible. With free slots an entry takes 27 to 54 bytes: a million take 32 MiB, and strings would take 200.
 */
export class DigestSet {
  #table = new Uint32Array(INITIAL_CAPACITY * WORDS)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Adds the concatenation of the parts; returns whether it was new. */
  add(...parts: readonly Uint8Array[]): boolean {
    if (this.#size >= (this.#table.length / WORDS) * MAX_LOAD) this.#grow()
    const digest = digestOf(parts)
    const at = findSlot(this.#table, digest)
    if (this.#table[at] !== 0) return false
    this.#table.set(digest, at)
    this.#size += 1
    return true
  }

  #grow(): void {
    const larger = new Uint32Array(this.#table.length * 2)
    for (let at = 0; at < this.#table.length; at += WORDS) {
      if (this.#table[at] === 0) continue
      const digest = this.#table.subarray(at, at + WORDS)
      larger.set(digest, findSlot(larger, digest))
    }
    this.#table = larger
  }
}

function digestOf(parts: readonly Uint8Array[]): Uint32Array {
  const [first = new Uint8Array()] = parts
  const bytes = hash('sha256', parts.length === 1 ? first : Buffer.concat(parts), 'buffer')
  const digest = new Uint32Array(WORDS)
  for (let word = 0; word < WORDS; word += 1) digest[word] = bytes.readUInt32LE(word * 4)
  // A first word of 0 marks a free slot.
  digest[0] ||= 1
  return digest
}

/** The index of this digest, or of the free slot for it (linear probing). */
function findSlot(table: Uint32Array, digest: Uint32Array): number {
  const slots = table.length / WORDS
  for (let slot = (digest[1] ?? 0) % slots; ; slot = (slot + 1) % slots) {
    const at = slot * WORDS
    if (table[at] === 0 || isSame(table, at, digest)) return at
  }
}

function isSame(table: Uint32Array, at: number, digest: Uint32Array): boolean {
  for (let word = 0; word < WORDS; word += 1) {
    if (table[at + word] !== digest[word]) return false
  }
  return true
}
