const INITIAL_LIMIT = 100
const MAX_LIMIT = 1_000

/**
 * How many objects to request at once, so that a page has about a given number of bytes, regardless of the size of the objects:
 * a page of a thousand Secrets of 1 MiB would be a gigabyte.
 */
export class PageSize {
  readonly #bytes: number
  #limit = INITIAL_LIMIT

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  get limit(): number {
    return this.#limit
  }

  /** Adjusts the limit to a page; the next one has at most twice as many objects. */
  learn(objects: number, bytes: number): void {
    if (objects === 0) return
    const fitting = Math.floor((this.#bytes * objects) / Math.max(1, bytes))
    this.#limit = Math.max(1, Math.min(fitting, this.#limit * 2, MAX_LIMIT))
  }

  /** Reduces the limit after a page that was too large; returns false if it is 1 already. */
  shrink(): boolean {
    if (this.#limit === 1) return false
    this.#limit = Math.max(1, Math.floor(this.#limit / 8))
    return true
  }
}
