import { flushCompileCache } from 'node:module'

import { logKey, type Logger } from '../../telemetry/log.ts'
import type { LogSink } from '../../telemetry/log-sink.ts'
import { EXIT_FAILED } from './terminal.ts'

/** From the first signal to the end, whatever hangs; systemd and the kubelet wait longer (docs/design.md, "Start and stop"). */
const STOP_LIMIT_MS = 8_000
/** The last log lines get this long. */
const FLUSH_LIMIT_MS = 500

/** Signals that stop the program. SIGHUP and SIGUSR2 too: what restarts it has it read its configuration again. */
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const

export interface ProcessEnd {
  /** Resolves at the first signal that asks the program to stop. */
  readonly requested: Promise<NodeJS.Signals>
  /** Ends the process with this code once its last log lines are written, or after a short time. */
  end(code: number): Promise<never>
}

/**
 * Takes charge of how a server ends. A signal asks it to stop, and ends it when that takes too long. A second one ends
 * it at once, and so does an uncaught error: a server that is half dead is worse than none.
 */
export function takeChargeOfEnd(log: Logger, sink: LogSink): ProcessEnd {
  const { promise: requested, resolve } = Promise.withResolvers<NodeJS.Signals>()
  const end = async (code: number): Promise<never> => {
    await sink.flush(FLUSH_LIMIT_MS)
    return endProcess(code)
  }
  let isStopping = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) endProcess(EXIT_FAILED)
    isStopping = true
    log.info({ [logKey.reason]: signal }, 'stopping')
    setTimeout(() => {
      log.warn('stopping takes too long; ending without waiting any longer')
      void end(EXIT_FAILED)
    }, STOP_LIMIT_MS)
    resolve(signal)
  }
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal)
  endOnUncaughtError(log, end)
  return { requested, end }
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

/**
 * Ends the process now. process.exit() waits for libuv's threads, so a read that never returns (a FIFO, a dead network
 * mount, a name server that is silent) would keep it from ending, and process 1 of a container cannot be ended by its
 * own signals. execve(2) ends all threads, and the program that it starts has nothing to do but to exit.
 */
function endProcess(code: number): never {
  flushCompileCache()
  const { execPath } = process
  try {
    process.execve?.(execPath, [execPath, '--eval', `process.exit(${String(code)})`], {})
  } finally {
    process.exit(code)
  }
}
