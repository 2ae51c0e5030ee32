/** Cancels a timer; has no effect if the timer ran or was canceled before. */
export type CancelTimer = () => void

/** The time, passed in so that tests can control it. */
export interface Clock {
  /** Milliseconds since 1970, for comparison with times from outside (token expiry, metrics). */
  now(): number
  /** Milliseconds that never decrease, for deadlines and durations. */
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
