import type { CallContext } from '../../call-context.ts'
import { isOutage, type BridgeError } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'

/** With the timeout of a login this ensures that Vault's return is noticed within 10 s. */
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 5_000
/** As {@link MAX_RETRY_MS}, while callers wait: a login that an outage prevents harms nothing. */
const MAX_AWAITED_RETRY_MS = 1_000

interface Failure {
  readonly error: BridgeError
  readonly count: number
  /** Until then no timer attempts a login. */
  readonly retryAt: number
  /** Until then no caller causes a login. After a refusal, callers receive the error; in an outage they wait for it. */
  readonly awaitedRetryAt: number
}

/** Why the last login failed, and when the next one is allowed. */
export class LoginBackoff {
  readonly #clock: Clock
  readonly #random: () => number
  #failure: Failure | undefined

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  /** Why the last login failed; undefined after a success. */
  get error(): BridgeError | undefined {
    return this.#failure?.error
  }

  /** The outage that made the last login fail. */
  get outage(): BridgeError | undefined {
    const error = this.#failure?.error
    return error !== undefined && isOutage(error) ? error : undefined
  }

  /** When a timer attempts the next login, by {@link Clock.monotonic}; undefined after a success. */
  get retryAt(): number | undefined {
    return this.#failure?.retryAt
  }

  /** The error that callers receive instead of a login; undefined when they may cause one. */
  get blocked(): BridgeError | undefined {
    const failure = this.#failure
    if (failure === undefined || this.#clock.monotonic() >= failure.awaitedRetryAt) return undefined
    return failure.error
  }

  succeeded(): void {
    this.#failure = undefined
  }

  failed(error: BridgeError): void {
    const count = (this.#failure?.count ?? 0) + 1
    const pause = Math.min(FIRST_RETRY_MS * 2 ** (count - 1), MAX_RETRY_MS)
    const awaitedPause = isOutage(error) ? Math.min(pause, MAX_AWAITED_RETRY_MS) : pause
    const now = this.#clock.monotonic()
    const jitter = 1 - 0.25 * this.#random()
    const retryAt = now + pause * jitter
    this.#failure = { error, count, retryAt, awaitedRetryAt: now + awaitedPause * jitter }
  }

  /** How long a caller waits for the next login; undefined if an outage does not prevent it, or the deadline comes first. */
  pauseAfter(error: BridgeError, { deadline, failsFast }: CallContext): number | undefined {
    const failure = this.#failure
    if (failsFast === true || failure?.error !== error || !isOutage(error)) return undefined
    const now = this.#clock.monotonic()
    const retryAt = Math.max(failure.awaitedRetryAt, now)
    return retryAt < deadline ? retryAt - now : undefined
  }
}
