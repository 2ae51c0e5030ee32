import type { Clock } from '../../time/clock.ts'
import type { Secret } from '../../secret.ts'
import type { Grant } from '../logins/login.ts'

/** Part of the lease after which the next login is due, and how far jitter moves it (design §3.2). */
const RENEW_AT = 0.7
const RENEW_JITTER = 0.1
/** However short the lease, logins are at least this far apart. */
const MIN_RENEW_MS = 1_000

/**
 * A token that a session holds, with the requests that use it. They are counted so that a token is revoked
 * only after the last of them ended: a delay instead would have to guess the longest deadline of a caller.
 */
export class HeldToken {
  readonly token: Secret<string>
  readonly grant: Grant
  /** {@link Clock.monotonic} when the login began: Vault's lease begins later, never earlier. */
  readonly obtainedAt: number
  readonly endsAt: number
  readonly renewAt: number
  /** Milliseconds since 1970; Infinity for a token that never ends. */
  readonly expiresAt: number
  /** Whether Vault's last word on a request with this token was 403. */
  denied = false
  #users = 0
  #whenIdle: (() => void) | undefined

  constructor(grant: Grant, began: { now: number; monotonic: number }, random: number) {
    const lease = grant.leaseSeconds === 0 ? Infinity : grant.leaseSeconds * 1000
    const part = RENEW_AT * (1 + RENEW_JITTER * (2 * random - 1))
    this.token = grant.token
    this.grant = grant
    this.obtainedAt = began.monotonic
    this.endsAt = began.monotonic + lease
    this.renewAt = began.monotonic + Math.max(lease * part, MIN_RENEW_MS)
    this.expiresAt = began.now + lease
  }

  /** Whether the lease still runs. */
  isAlive(clock: Clock): boolean {
    return clock.monotonic() < this.endsAt
  }

  /** A request begins to use the token. */
  acquire(): void {
    this.#users += 1
  }

  /** The request ended, in whatever way. */
  release(): void {
    this.#users -= 1
    if (this.#users === 0) this.#whenIdle?.()
  }

  /** Resolves when no request uses the token; for a token that gets no new users. */
  idle(): Promise<void> {
    if (this.#users === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenIdle = resolve
    })
  }
}
