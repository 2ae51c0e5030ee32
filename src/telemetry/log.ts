import { pino, type Logger } from 'pino'

import type { LogLevel } from '../config/log-level.ts'

export type { Logger }

/** Keys of log lines, each named here and nowhere else, so that a line can be searched for. */
export const logKey = {
  code: 'code',
  uid: 'uid',
  method: 'method',
  durationMs: 'duration_ms',
  address: 'vault_address',
  operation: 'operation',
  keyId: 'key_id',
  keyVersion: 'key_version',
  reason: 'reason',
  expiresAt: 'expires_at',
  socket: 'socket',
  namespace: 'namespace',
  serviceAccount: 'service_account',
} as const

/** JSON lines on standard output; an error is written with its code and its chain of causes. */
export function createLogger(level: LogLevel): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
  })
}

interface DescribedError {
  readonly type: string
  readonly message: string
  readonly code?: string | number
  readonly stack?: string
  readonly cause?: DescribedError
}

/** Causes of causes that are written; a chain that bites its own tail has an end, too. */
const MAX_CAUSES = 8

/** Only these fields of an error are logged: others may hold a request with its secrets. */
export function describeError(error: unknown): DescribedError {
  return describe(error, MAX_CAUSES)
}

function describe(error: unknown, causes: number): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: 'not an error object' }
  const code = 'code' in error ? error.code : undefined
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || causes === 0
      ? {}
      : { cause: describe(error.cause, causes - 1) }),
  }
}
