import { logKey, type Logger } from '../../../telemetry/log.ts'
import type { LogSink } from '../../../telemetry/log-sink.ts'
import { endProcess, stopLettingSignalsEnd } from './process-exit.ts'
import { EXIT_FAILED } from '../terminal.ts'

/** The longest time from the first signal to the end; systemd and the kubelet wait longer (docs/design.md, "Start and stop"). */
const STOP_LIMIT_MS = 8_000
/** Time for the last log lines. */
const FLUSH_LIMIT_MS = 500

/**
 * SIGHUP and SIGUSR2, which often mean "reload", are included: after a restart the program reads its configuration again. So is
 * SIGQUIT: its default action writes a core dump, which would contain the Vault token and plaintext (signal(7)).
 */
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const

export interface Shutdown {
  /** Resolves at the first signal that asks the program to stop. */
  readonly requested: Promise<NodeJS.Signals>
  /** Ends the process with this code once its last log lines are written, or after a short time. */
  exit(code: number): Promise<never>
}

/**
 * Handles signals and uncaught errors of a server. The first signal asks the server to stop, within a time limit. A second
 * one ends the process at once. An uncaught error ends it, too: a server that works only in part is worse than none.
 */
export function handleShutdown(log: Logger, sink: LogSink): Shutdown {
  const { promise: requested, resolve } = Promise.withResolvers<NodeJS.Signals>()
  const end = async (code: number): Promise<never> => {
    await sink.flush(FLUSH_LIMIT_MS)
    endProcess(code)
    return new Promise(() => undefined)
  }
  let isStopping = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) return endProcess(EXIT_FAILED)
    isStopping = true
    log.info({ [logKey.reason]: signal }, 'stopping')
    setTimeout(() => {
      log.warn('stopping takes too long; ending without waiting any longer')
      void end(EXIT_FAILED)
    }, STOP_LIMIT_MS)
    resolve(signal)
  }
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal)
  stopLettingSignalsEnd()
  endOnUncaughtError(log, end)
  return { requested, exit: end }
}

function endOnUncaughtError(log: Logger, end: (code: number) => Promise<never>): void {
  let isEnding = false
  const onError = (error: unknown) => {
    if (isEnding) return
    isEnding = true
    log.fatal({ err: error }, 'uncaught error; ending')
    void end(EXIT_FAILED)
  }
  process.on('uncaughtException', onError)
  process.on('unhandledRejection', onError)
}
