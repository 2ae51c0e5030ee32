import { hash } from 'node:crypto'

const WORDS = 4
const FIRST_CAPACITY = 1024
const FULLEST = 0.6

/**
 * A set of byte strings of any length in 16 bytes each (27 to 54 with the room that a hash table needs): the first half
 * of SHA-256, of which nobody can make two alike. A million entries are 32 MiB, where strings would be 200.
 */
export class DigestSet {
  #table = new Uint32Array(FIRST_CAPACITY * WORDS)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Whether it was not there before. */
  add(...parts: readonly Uint8Array[]): boolean {
    if (this.#size >= (this.#table.length / WORDS) * FULLEST) this.#grow()
    const digest = digestOf(parts)
    const at = findPlace(this.#table, digest)
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
      larger.set(digest, findPlace(larger, digest))
    }
    this.#table = larger
  }
}

function digestOf(parts: readonly Uint8Array[]): Uint32Array {
  const [first = new Uint8Array()] = parts
  const bytes = hash('sha256', parts.length === 1 ? first : Buffer.concat(parts), 'buffer')
  const digest = new Uint32Array(WORDS)
  for (let word = 0; word < WORDS; word += 1) digest[word] = bytes.readUInt32LE(word * 4)
  // A first word of 0 marks a free place.
  digest[0] ||= 1
  return digest
}

/** Where this digest is, or would be: the next free place after the one that it names (linear probing). */
function findPlace(table: Uint32Array, digest: Uint32Array): number {
  const places = table.length / WORDS
  for (let place = (digest[1] ?? 0) % places; ; place = (place + 1) % places) {
    const at = place * WORDS
    if (table[at] === 0 || isSame(table, at, digest)) return at
  }
}

function isSame(table: Uint32Array, at: number, digest: Uint32Array): boolean {
  for (let word = 0; word < WORDS; word += 1) {
    if (table[at + word] !== digest[word]) return false
  }
  return true
}
