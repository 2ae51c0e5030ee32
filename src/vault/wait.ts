import type { Clock } from '../clock.ts'

/** Resolves after a time, or as soon as the signal is aborted: whoever goes on looks at the signal anyway. */
export function wait(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const cancelTimer = clock.after(ms, finish)
    signal?.addEventListener('abort', finish, { once: true })
    function finish(): void {
      cancelTimer()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
  })
}
