import { setImmediate } from 'node:timers/promises'
import { systemClock, type CancelTimer, type Clock } from '../../src/time/clock.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** As with setTimeout, a longer timer runs early. */
const LONGEST_TIMER_MS = 0x7fff_ffff

/** A clock that stands still until a test advances it. */
export class HandClock implements Clock {
  /** Where the time since 1970 begins; moving it does not move {@link HandClock.monotonic}. */
  epoch = Date.UTC(2026, 0, 1)
  #elapsed = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.epoch + this.#elapsed
  }

  monotonic(): number {
    return this.#elapsed
  }

  after(milliseconds: number, run: () => void): CancelTimer {
    const timer = { at: this.#elapsed + Math.min(milliseconds, LONGEST_TIMER_MS), run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.size
  }

  /** Advances the clock: timers run at their time, in order, and promises settle after each. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds
    await settle()
    for (let timer = this.#next(end); timer !== undefined; timer = this.#next(end)) {
      this.#timers.delete(timer)
      this.#elapsed = Math.max(this.#elapsed, timer.at)
      timer.run()
      await settle()
    }
    this.#elapsed = end
  }

  #next(end: number): Timer | undefined {
    return [...this.#timers]
      .filter((timer) => timer.at <= end)
      .toSorted((one, other) => one.at - other.at)[0]
  }
}

/** Lets every promise that can settle now settle. */
export async function settle(): Promise<void> {
  await setImmediate()
}

/** The real clock, plus what a test skips: for real servers, whose clock cannot be changed. */
export class SkippingClock implements Clock {
  #skipped = 0

  /** Lets time pass at once; timers that are set already do not notice. */
  skip(milliseconds: number): void {
    this.#skipped += milliseconds
  }

  now(): number {
    return systemClock.now() + this.#skipped
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#skipped
  }

  after(milliseconds: number, run: () => void): CancelTimer {
    return systemClock.after(milliseconds, run)
  }
}
