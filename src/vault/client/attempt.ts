import type { CallContext } from '../../call-context.ts'
import type { BridgeError } from '../../errors.ts'
import type { VaultRequest, VaultResponse } from './request.ts'

/** One try of one request, handed through node-vault to the transport and back to the reader of the answer. */
export interface Attempt {
  readonly request: VaultRequest
  readonly context: CallContext
  /** When this try is given up, in milliseconds of {@link Clock.monotonic}. */
  readonly endsAt: number
}

/**
 * Where a failed request may be tried again.
 * - `never`: Vault said no, or nobody is waiting any more.
 * - `elsewhere`: at another address; this one answers the same again (sealed, wrong certificate).
 * - `soon`: at another address, or at this one after a short wait.
 * - `at-once`: at this address over a new connection, for the old one was stale; the second time as `soon`.
 * - `later`: at this address after `waitMs`.
 */
export type Retry = 'never' | 'elsewhere' | 'soon' | 'at-once' | 'later'

/** How an attempt failed. It is returned, not thrown: a failed attempt is not yet a failed request. */
export class AttemptFailure {
  readonly error: BridgeError
  readonly retry: Retry
  /** Only with `later`: what Vault asked for; undefined if it asked for nothing. */
  readonly waitMs: number | undefined

  constructor(error: BridgeError, retry: Retry, waitMs?: number) {
    this.error = error
    this.retry = retry
    this.waitMs = waitMs
  }
}

/** What an attempt ends in. */
export type Outcome = VaultResponse | AttemptFailure

/** An operation as it stands in a sentence. */
export function nameOperation(request: VaultRequest): string {
  return request.operation.replaceAll('_', ' ')
}
