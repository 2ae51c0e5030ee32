import type { Clock } from '../../time/clock.ts'
import type { Secret } from '../../secret.ts'
import type { Grant } from '../logins/login.ts'

/** Share of the lease, or of the uses, after which the next login is due. */
const RENEW_AT = 0.7
/** How far jitter moves it, so that the nodes of a cluster do not all log in at once. */
const RENEW_JITTER = 0.1
/** Minimum time between two logins, even if the lease is shorter. */
const MIN_RENEW_MS = 1_000
/** A younger token may not have reached every node of Vault yet. Logins that denials cause are at least as far apart. */
export const FRESH_MS = 5_000

/**
 * A token that a session holds, with the requests that use it. They are counted so that the token is revoked
 * only after the last of them has ended: a delay would have to guess the longest deadline of a caller.
 */
export class HeldToken {
  readonly token: Secret<string>
  readonly grant: Grant
  /** {@link Clock.monotonic} when the login began: Vault's lease begins later, never earlier. */
  readonly obtainedAt: number
  readonly endsAt: number
  /** Milliseconds since 1970; Infinity for a token that never expires. */
  readonly expiresAt: number
  /** Whether Vault's latest answer to a request with this token was 403. */
  denied = false
  /** Whether Vault has accepted the token at least once. */
  wasAccepted = false
  /** Whether a denial is final: Vault has accepted the token before, or denies it for longer than replication takes. */
  settled = false
  readonly #renewAt: number
  readonly #renewAtUses: number
  #usesLeft: number
  #users = 0
  #whenIdle: (() => void) | undefined

  constructor(grant: Grant, began: { now: number; monotonic: number }, random: number) {
    const leaseMs = grant.leaseSeconds * 1000
    const share = RENEW_AT * (1 + RENEW_JITTER * (2 * random - 1))
    this.token = grant.token
    this.grant = grant
    this.obtainedAt = began.monotonic
    this.endsAt = began.monotonic + leaseMs
    this.#renewAt = began.monotonic + Math.max(leaseMs * share, MIN_RENEW_MS)
    this.expiresAt = began.now + leaseMs
    this.#usesLeft = countUses(grant)
    this.#renewAtUses = Math.floor(this.#usesLeft * (1 - RENEW_AT))
  }

  /** When the next login is due, by {@link Clock.monotonic}; -Infinity when most uses are spent. */
  get renewAt(): number {
    return this.isLimited && this.#usesLeft <= this.#renewAtUses ? -Infinity : this.#renewAt
  }

  /** Whether Vault limits the number of requests (token_num_uses). */
  get isLimited(): boolean {
    return this.grant.maxUses !== undefined
  }

  /** Whether the lease has time left and the token has uses left. */
  isUsable(clock: Clock): boolean {
    return this.#usesLeft > 0 && clock.monotonic() < this.endsAt
  }

  /** Whether a denial may come from a node of Vault that the token has not reached yet. */
  isFresh(clock: Clock): boolean {
    return clock.monotonic() - this.obtainedAt < FRESH_MS
  }

  /** Whether there is still a token to revoke. */
  isAlive(clock: Clock): boolean {
    return clock.monotonic() < this.endsAt
  }

  /** A request begins to use the token; false if its uses are spent. */
  acquire(): boolean {
    if (this.#usesLeft <= 0) return false
    this.#usesLeft -= 1
    this.#users += 1
    return true
  }

  /** The request has ended, successfully or not. */
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

/** One use is kept for revoking the token. */
function countUses({ maxUses, revocable }: Grant): number {
  if (maxUses === undefined) return Infinity
  return Math.max(1, revocable ? maxUses - 1 : maxUses)
}
