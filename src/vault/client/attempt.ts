import type { CallContext } from '../../call-context.ts'
import type { BridgeError } from '../../errors.ts'
import type { VaultRequest, VaultResponse } from './request.ts'
import type { Silence } from './silence.ts'

/** One try of one request, passed through node-vault to the transport and to the reader of the response. */
export interface Attempt {
  readonly request: VaultRequest
  readonly context: CallContext
  /** When this try times out, in milliseconds of {@link Clock.monotonic}. */
  readonly endsAt: number
  /** After this time without an answer the request may be sent elsewhere, long before `endsAt`; undefined if it must not be. */
  readonly patienceMs?: number | undefined
  /** The patience of a first try, if the request is uniform. */
  readonly uniformPatienceMs?: number | undefined
  /** Which tries are in progress, if this one may be repeated. */
  readonly silence?: Silence | undefined
}

/**
 * Where a failed request may be tried again.
 * - `never`: nowhere. Vault rejected the request itself, or the caller is gone.
 * - `ask-others`: at the other addresses. Vault refused the caller or has nothing there, which another address
 *   contradicts if this one is a different Vault.
 * - `elsewhere`: at another address, or at another node behind this one; the same node would answer the same again (wrong
 *   certificate), so this address is tried only a few times.
 * - `soon`: at another address, or at this one after a short wait.
 * - `sparingly`: at another address, or over another connection, but only a few times. Vault received a request of a pod and is
 *   silent: the request may be slow, which says nothing about the address.
 * - `at-once`: at this address over a new connection, because the old one was stale; the second time as `soon`.
 * - `later`: at this address after `waitMs`; at another one if the deadline comes first.
 */
export type Retry =
  'never' | 'ask-others' | 'elsewhere' | 'soon' | 'sparingly' | 'at-once' | 'later'

/** How an attempt failed. It is returned, not thrown, because a later attempt may succeed. */
export class AttemptFailure {
  readonly error: BridgeError
  readonly retry: Retry
  /** Only with `later`: the wait that Vault asked for; undefined if it named none. */
  readonly waitMs: number | undefined

  constructor(error: BridgeError, retry: Retry, waitMs?: number) {
    this.error = error
    this.retry = retry
    this.waitMs = waitMs
  }
}

/** The outcome of an attempt. */
export type Outcome = VaultResponse | AttemptFailure

/** The name of an operation in a sentence. */
export function nameOperation(request: VaultRequest): string {
  return request.operation.replaceAll('_', ' ')
}
