import { letSignalsEnd, stopLettingSignalsEnd } from './process-exit.ts'

/**
 * Runs work that SIGINT and SIGTERM interrupt at a point from which a later run can continue. A second signal ends the process at
 * once.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  const stopHandling = () => {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    letSignalsEnd()
  }
  const stop = () => {
    stopHandling()
    abort.abort()
  }
  stopLettingSignalsEnd()
  process.on('SIGINT', stop).on('SIGTERM', stop)
  // Timers of the clock do not keep the process alive, and between two requests nothing else does.
  const alive = setInterval(() => undefined, 0x7fff_ffff)
  try {
    return await work(abort.signal)
  } finally {
    clearInterval(alive)
    stopHandling()
  }
}
