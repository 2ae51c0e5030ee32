import { createHash, createHmac } from 'node:crypto'

const UINT32 = 0x1_0000_0000

/** Numbers that a seed determines, so that a run can be repeated. Not for keys. */
export class Random {
  readonly #seed: string
  #state: number

  constructor(seed: string) {
    this.#seed = seed
    this.#state = createHash('sha256').update(seed).digest().readUInt32LE()
  }

  /** A generator of its own for each part of a run: how much one part draws does not change the others. */
  fork(part: string): Random {
    return new Random(`${this.#seed}/${part}`)
  }

  /** From 0 to less than 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / UINT32
  }

  /** A whole number from `from` to less than `to`. */
  between(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from))
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('nothing to pick from')
    return items[this.between(0, items.length)] as T
  }

  shuffle<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, at: this.next() }))
      .toSorted((one, other) => one.at - other.at)
      .map(({ item }) => item)
  }

  /** The pause before the next call, if calls come independently of each other. */
  pauseMs(meanMs: number): number {
    return -Math.log(1 - this.next()) * meanMs
  }
}

const MARK_BYTES = 12

/** The plaintexts of a run: a mark, which all have and no log may contain, and bytes that a number determines. */
export class Plaintexts {
  readonly mark: Buffer
  readonly #seed: string

  constructor(seed: string) {
    this.#seed = seed
    this.mark = this.#bytes('mark').subarray(0, MARK_BYTES)
  }

  /** 32 bytes, as a DEK seed has. */
  make(index: number): Buffer {
    return Buffer.concat([this.mark, this.#bytes(String(index)).subarray(0, 32 - MARK_BYTES)])
  }

  #bytes(name: string): Buffer {
    return createHmac('sha256', this.#seed).update(name).digest()
  }
}
