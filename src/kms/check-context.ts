import { randomUUID } from 'node:crypto'
import type { CallContext } from '../call-context.ts'
import { isOutage, type BridgeError, type ErrorCode } from '../errors.ts'
import { logKey, type Logger } from '../telemetry/log.ts'

/** Longest time of one check: a read of the key and, if they are due, a proof and a new local key. */
export const CHECK_TIMEOUT_MS = 8_000

/** The context of one check, whose requests are counted. */
export class CheckContext implements CallContext {
  readonly deadline: number
  readonly uid = `check-${randomUUID()}`
  readonly failsFast = true
  readonly onRetry: (reason: BridgeError) => void
  requests = 0

  constructor(now: number, onOutage?: (reason: BridgeError) => void) {
    this.deadline = now + CHECK_TIMEOUT_MS
    this.onRetry = (reason) => {
      if (isOutage(reason)) onOutage?.(reason)
    }
  }

  readonly onVaultRequest = (): void => void (this.requests += 1)
}

/** `transit-bridge audit` compares this line, and those of calls, with Vault's audit file. */
export function logCheck(
  log: Pick<Logger, 'debug'>,
  { uid, requests }: CheckContext,
  code: ErrorCode | 'OK',
  message: string,
): void {
  const line = { [logKey.method]: 'Check', [logKey.code]: code, [logKey.uid]: uid }
  log.debug({ ...line, [logKey.vaultRequests]: requests }, message)
}
