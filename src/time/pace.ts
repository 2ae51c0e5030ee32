import type { Clock } from './clock.ts'

/** Limits the rate of work with a pause after each piece. */
export class Pace {
  readonly #perSecond: number | undefined
  readonly #clock: Clock
  readonly #startedAt: number
  #spent = 0

  /** @param perSecond undefined for no limit */
  constructor(perSecond: number | undefined, clock: Clock) {
    this.#perSecond = perSecond
    this.#clock = clock
    this.#startedAt = clock.monotonic()
  }

  /** Resolves when this much more work may be done, or immediately if the signal is aborted. */
  async spend(count: number, signal: AbortSignal): Promise<void> {
    if (this.#perSecond === undefined || signal.aborted) return
    this.#spent += count
    const dueAt = this.#startedAt + (this.#spent / this.#perSecond) * 1000
    const pauseMs = dueAt - this.#clock.monotonic()
    if (pauseMs <= 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = () => resolve()
    const cancel = this.#clock.after(pauseMs, wake)
    signal.addEventListener('abort', wake, { once: true })
    await promise
    cancel()
    signal.removeEventListener('abort', wake)
  }
}
