import type { Clock } from './clock.ts'

/** Longest that Node counts, in milliseconds. */
const FOREVER_MS = 0x7fff_ffff

/** Resolves after a time, or as soon as the signal is aborted: whoever goes on looks at the signal anyway. */
export function wait(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    // A clock's timers do not keep the process alive, and between two attempts no socket does: a command would end here.
    const keeper = setInterval(() => {}, FOREVER_MS)
    const cancelTimer = clock.after(ms, finish)
    signal?.addEventListener('abort', finish, { once: true })
    function finish(): void {
      clearInterval(keeper)
      cancelTimer()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
  })
}
