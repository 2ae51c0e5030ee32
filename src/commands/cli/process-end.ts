import { logKey, type Logger } from '../../telemetry/log.ts'

/** Resolves at SIGTERM or SIGINT. A second signal ends the process at once, as who is in a hurry expects. */
export function waitForStopSignal(log: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let stopping = false
    const onSignal = (signal: NodeJS.Signals) => {
      if (stopping) process.exit(1)
      stopping = true
      log.info({ [logKey.reason]: signal }, 'stopping')
      resolve(signal)
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
}

/** A fault that nobody caught ends the process: a server that is half dead is worse than none. */
export function endOnUncaughtFault(log: Logger): void {
  const end = (error: unknown) => {
    log.fatal({ err: error }, 'uncaught fault; ending')
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}
