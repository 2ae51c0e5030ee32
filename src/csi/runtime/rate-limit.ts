import type { Clock } from '../../time/clock.ts'

/** A token bucket that holds one second of requests. */
export class RateLimit {
  readonly #perSecond: number
  readonly #clock: Clock
  #left: number
  #filledAt: number

  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond
    this.#clock = clock
    this.#left = perSecond
    this.#filledAt = clock.monotonic()
  }

  /** Takes one request from the bucket; returns whether there was one. */
  take(): boolean {
    const now = this.#clock.monotonic()
    const added = ((now - this.#filledAt) / 1000) * this.#perSecond
    this.#left = Math.min(this.#perSecond, this.#left + added)
    this.#filledAt = now
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
