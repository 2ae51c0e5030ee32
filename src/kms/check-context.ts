import { randomUUID } from 'node:crypto'
import type { CallContext } from '../call-context.ts'
import { isOutage, type BridgeError } from '../errors.ts'

/** Longest time of one check: a read of the key and, if it is due, a proof. */
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
