import type { BridgeError } from './errors.ts'

/** What every call passes from the socket to Vault. */
export interface CallContext {
  /** When the caller stops waiting, in milliseconds of {@link Clock.monotonic}. */
  readonly deadline: number
  /** Aborted when the caller disconnects before its deadline. */
  readonly signal?: AbortSignal | undefined
  /** The caller's request id (for KMS the uid, or several of one batch joined by commas). */
  readonly uid?: string | undefined
  /** Called for each request that is sent to Vault for this call; audit compares their number with Vault's audit file. */
  readonly onVaultRequest?: (() => void) | undefined
  /** Called with the reason when Vault cannot answer and the request is tried again. */
  readonly onRetry?: ((reason: BridgeError) => void) | undefined
  /** The caller has its own retries, so it receives an outage at once, without a wait for the next login. */
  readonly failsFast?: boolean | undefined
  /** How long one request may wait between its tries in all, in milliseconds; until the deadline by default. */
  readonly maxRetryWaitMs?: number | undefined
}

/** `maxRetryWaitMs` of a command: longer than the election of a leader usually takes, but a person waits for the answer. */
export const COMMAND_RETRY_WAIT_MS = 5_000
