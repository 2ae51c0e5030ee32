/** What {@link endWhenIdle} needs of a process. */
export interface EndingProcess {
  readonly pid: number
  readonly exit: (code: number) => void
  readonly abort: () => void
  /** Ends the process by a signal that it does not handle. */
  readonly endBySignal: (signal: NodeJS.Signals) => void
  /** Whether a request occupies a thread of libuv. */
  readonly isBusy: () => boolean
  readonly now: () => number
  readonly later: (run: () => void) => void
}

/** Time for a request that is about to end, in milliseconds. On a busy host, 250 ms were too short for the last lines of the log. */
const THREADS_LIMIT_MS = 1_000
/** A process that gets no CPU time looks seldom, and its threads run seldom, too: they get more time. */
const MIN_LOOKS = 100

/**
 * Ends a process that cannot start another program: with its exit code as soon as no thread is busy. While one is, only a signal
 * ends the process: SIGTERM counts as a stop on request. Process 1 aborts, because it cannot kill itself with a signal.
 */
export function endWhenIdle(
  ending: EndingProcess,
  code: number,
  since = ending.now(),
  looks = 1,
): void {
  if (!ending.isBusy()) ending.exit(code)
  else if (ending.now() - since < THREADS_LIMIT_MS || looks < MIN_LOOKS)
    ending.later(() => endWhenIdle(ending, code, since, looks + 1))
  else if (ending.pid === 1) ending.abort()
  else ending.endBySignal(code === 0 ? 'SIGTERM' : 'SIGKILL')
}
