/** Undoes a timer; doing it twice, or after the timer ran, changes nothing. */
export type CancelTimer = () => void

/** Time, passed in so that tests can turn it. */
export interface Clock {
  /** Milliseconds since 1970, for what is compared with the outside (token expiry, metrics). */
  now(): number
  /** Milliseconds that never go back, for deadlines and durations. */
  monotonic(): number
  /** Calls `run` once after `milliseconds`. The timer does not keep the process alive. */
  after(milliseconds: number, run: () => void): CancelTimer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(milliseconds, run) {
    const timer = setTimeout(run, Math.min(milliseconds, 0x7fff_ffff))
    timer.unref()
    return () => clearTimeout(timer)
  },
}
