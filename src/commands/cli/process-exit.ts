import { flushCompileCache } from 'node:module'
import { constants } from 'node:os'

const EARLY_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const

/**
 * The kernel discards a signal without a handler if it is for process 1 of a container (pid_namespaces(7)): without these, such a
 * process could only be killed until a server handles signals itself, and every other command could not be stopped at all.
 * Therefore src/main.ts imports this file before everything else.
 */
if (process.pid === 1) for (const signal of EARLY_SIGNALS) process.on(signal, endAsSignaled)

/** The program handles signals itself from now on. */
export function passEarlySignals(): void {
  for (const signal of EARLY_SIGNALS) process.off(signal, endAsSignaled)
}

/** As a shell reports a program that a signal ended. */
function endAsSignaled(signal: NodeJS.Signals): void {
  endProcess(128 + constants.signals[signal])
}

/**
 * Ends the process now. process.exit() waits for libuv's threads, so a read that never returns (a FIFO, a dead network
 * mount, a name server that does not answer) would keep the process alive, and process 1 of a container cannot kill itself with
 * a signal. execve(2) ends all threads, and the program that it starts only exits.
 */
export function endProcess(code: number): never {
  flushCompileCache()
  const { execPath } = process
  try {
    process.execve?.(execPath, [execPath, '--eval', `process.exit(${String(code)})`], {})
  } finally {
    process.exit(code)
  }
}
