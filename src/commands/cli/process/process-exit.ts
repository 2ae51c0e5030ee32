import { flushCompileCache } from 'node:module'
import { constants } from 'node:os'

import { isReading } from '../../../files/bounded-read.ts'
import { endWhenIdle, type EndingProcess } from './busy-end.ts'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const

/**
 * Signals end process 1 of a container as they end any other process. Without a handler the kernel discards them
 * (pid_namespaces(7)), and such a process could only be killed. Therefore src/main.ts and src/start import this file before everything
 * else.
 */
export function letSignalsEnd(): void {
  if (process.pid !== 1) return
  for (const signal of SIGNALS) process.off(signal, endAsSignaled).on(signal, endAsSignaled)
}

/** The caller handles signals itself from now on. */
export function stopLettingSignalsEnd(): void {
  for (const signal of SIGNALS) process.off(signal, endAsSignaled)
}

letSignalsEnd()

/** The exit code that a shell reports for a program that a signal ended. */
function endAsSignaled(signal: NodeJS.Signals): void {
  endProcess(128 + constants.signals[signal])
}

/** Requests that occupy a thread of libuv: of the log, and of name servers. */
const USES_THREAD = /^(FSReq|GetAddrInfo|GetNameInfo)/

/**
 * Ends the process now; under the permission model, as soon as no thread is busy, or after a second and at least 100 looks
 * (busy-end.ts). process.exit() waits for libuv's threads, so a read that never returns (a FIFO, a dead network mount, a name server
 * that does not answer) would keep the process alive, and process 1 of a container cannot kill itself with a signal. execve(2) ends
 * all threads, and the program that it starts only exits.
 */
export function endProcess(code: number): void {
  flushCompileCache()
  // Under the permission model, execve is denied with all other ways to start a program.
  if (process.permission !== undefined) return endWhenIdle(THIS_PROCESS, code)
  const { execPath } = process
  try {
    process.execve?.(execPath, [execPath, '--eval', `process.exit(${String(code)})`], {})
  } finally {
    process.exit(code)
  }
}

const THIS_PROCESS: EndingProcess = {
  pid: process.pid,
  exit: (code) => process.exit(code),
  abort: () => process.abort(),
  endBySignal: (signal) => {
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  },
  isBusy: () =>
    isReading() || process.getActiveResourcesInfo().some((name) => USES_THREAD.test(name)),
  now: () => performance.now(),
  later: (run) => void setTimeout(run, 1),
}
