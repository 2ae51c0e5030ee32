import { pino, type Logger, type LoggerOptions } from 'pino'

import type { LogLevel } from '../config/log-level.ts'
import { LogSink } from './log-sink.ts'

export type { Logger }

/** The keys of log lines. They are named only here, so that a search finds every line. */
export const logKey = {
  code: 'code',
  uid: 'uid',
  method: 'method',
  durationMs: 'duration_ms',
  address: 'vault_address',
  operation: 'operation',
  key: 'key',
  vaultRequests: 'vault_requests',
  lateRequest: 'late_request',
  keyId: 'key_id',
  keyVersion: 'key_version',
  reason: 'reason',
  expiresAt: 'expires_at',
  socket: 'socket',
  namespace: 'namespace',
  vaultNamespace: 'vault_namespace',
  serviceAccount: 'service_account',
} as const

/** Writes JSON lines to a sink, by default standard output; an error is written with its code and its chain of causes. */
export function createLogger(level: LogLevel, sink = new LogSink()): Logger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
  }
  return pino(options, sink)
}

interface DescribedError {
  readonly type: string
  readonly message: string
  readonly code?: string | number | undefined
  readonly stack?: string | undefined
  readonly cause?: DescribedError | undefined
}

/** Maximum depth of the chain of causes, which may contain a cycle. */
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
    code: typeof code === 'string' || typeof code === 'number' ? code : undefined,
    stack: error.stack,
    cause:
      error.cause === undefined || causes === 0 ? undefined : describe(error.cause, causes - 1),
  }
}
