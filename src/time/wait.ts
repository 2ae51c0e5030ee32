import type { Clock } from './clock.ts'

/** The longest interval of Node.js timers. */
const MAX_INTERVAL_MS = 0x7fff_ffff

/** Resolves after a time or when the signal is aborted; callers check the signal themselves. */
export function wait(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    // Timers of the clock do not keep the process alive. Between two attempts no socket does either: the command would exit.
    const keepAlive = setInterval(() => {}, MAX_INTERVAL_MS)
    const cancelTimer = clock.after(ms, finish)
    signal?.addEventListener('abort', finish, { once: true })
    function finish(): void {
      clearInterval(keepAlive)
      cancelTimer()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
  })
}
