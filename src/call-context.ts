/** What every call carries from the socket down to Vault. */
export interface CallContext {
  /** When the caller gives up, in milliseconds of {@link Clock.monotonic}. */
  readonly deadline: number
  /** Aborted when the caller went away before its deadline. */
  readonly signal?: AbortSignal
  /** The caller's request id (for KMS the uid, or several of one batch joined by commas). */
  readonly uid?: string
}
