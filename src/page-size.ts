const FIRST = 100
const MOST = 1_000

/**
 * How many objects to ask for at once, so that a page stays near a number of bytes, whatever the objects' size is: a
 * page of a thousand Secrets of 1 MiB would be a gigabyte.
 */
export class PageSize {
  readonly #bytes: number
  #limit = FIRST

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  get limit(): number {
    return this.#limit
  }

  /** Takes note of a page; the next one is at most twice as long. */
  learn(objects: number, bytes: number): void {
    if (objects === 0) return
    const fitting = Math.floor((this.#bytes * objects) / Math.max(1, bytes))
    this.#limit = Math.max(1, Math.min(fitting, this.#limit * 2, MOST))
  }

  /** Takes note that a page was too large; false if it cannot be smaller. */
  shrink(): boolean {
    if (this.#limit === 1) return false
    this.#limit = Math.max(1, Math.floor(this.#limit / 8))
    return true
  }
}
