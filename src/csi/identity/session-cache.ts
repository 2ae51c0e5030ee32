import type { CancelTimer, Clock } from '../../time/clock.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import type { CallContext } from '../../call-context.ts'
import { waitWithin } from '../../time/bounded-wait.ts'
import { FairCache, type Share } from '../fair-cache.ts'
import { identify, type PodSession } from './pod-session.ts'

/** The kubelet's default is 110 pods per node (https://kubernetes.io/docs/setup/best-practices/cluster-large/). */
const MAX_SESSIONS = 1_000
/** Usual tokens have about 1 KiB. See docs/design.md, "Memory bounds". */
const MAX_TOKEN_BYTES = 4 * 1024 * 1024
/** Republishes arrive every 60 to 90 s (docs/design.md, "CSI content"), so the pod of an idle token is gone. */
const IDLE_MS = 5 * 60_000
const REVOKE_TIME_MS = 4_000

export interface SessionCacheOptions {
  readonly open: (token: ServiceAccountToken, role: string, vaultNamespace: string) => PodSession
  readonly clock: Clock
  /** Called with the number of sessions after every change. */
  readonly onSize: (sessions: number) => void
  /** Default: 1000. */
  readonly maxSessions?: number
}

/**
 * Lifetime of a session whose service-account token has already expired by this host's clock. The clock can be wrong,
 * so Vault decides at the login.
 */
const EXPIRED_MS = 60_000

interface Held {
  readonly session: PodSession
  /** When the service-account token expires, in milliseconds since 1970. The Vault token may live longer. */
  readonly expiresAt: number
  usedAt: number
  cancelTimer: CancelTimer
}

/**
 * The Vault sessions of pods, by the hash of service-account token, role and Vault namespace: only a caller with the same
 * token gets the session. A session that leaves the cache is ended and its Vault token revoked, after the Mounts that use it.
 */
export class SessionCache {
  readonly #options: SessionCacheOptions
  readonly #held: FairCache<Held>
  readonly #ending = new Set<Promise<void>>()
  #stopping = false

  constructor(options: SessionCacheOptions) {
    this.#options = options
    this.#held = new FairCache({ maxSize: MAX_TOKEN_BYTES, onLeave: (held) => this.#end(held) })
  }

  get size(): number {
    return this.#held.size
  }

  /** Returns the session of a token and a role in a Vault namespace. A new session sends no request before it is used. */
  open(token: ServiceAccountToken, role: string, vaultNamespace: string): PodSession {
    const { clock, open, onSize } = this.#options
    const id = identify(token, role, vaultNamespace)
    const known = this.#held.get(id)
    if (known !== undefined) {
      known.usedAt = clock.monotonic()
      return known.session
    }
    const session = open(token, role, vaultNamespace)
    const held: Held = {
      session,
      expiresAt: endOf(token, clock.now()),
      usedAt: clock.monotonic(),
      cancelTimer: () => undefined,
    }
    this.#held.set(id, held, this.#shareOf(token))
    this.#watch(id, held)
    onSize(this.#held.size)
    return session
  }

  /** A session counts for the namespace of its pod, and at least as one of the maximum number. */
  #shareOf({ token, claims }: ServiceAccountToken): Share {
    const { maxSessions = MAX_SESSIONS } = this.#options
    const { subject = '' } = claims
    return {
      owner: subject.slice(0, subject.lastIndexOf(':')),
      size: Math.max(token.reveal().length, Math.floor(MAX_TOKEN_BYTES / maxSessions)),
    }
  }

  /** Ends all sessions, used or not, as far as the deadline allows. */
  async stop(context: CallContext): Promise<void> {
    this.#stopping = true
    const sessions = [...this.#held.values()].map(({ session }) => session)
    // End sessions with the caller's deadline before clear() ends them with its own; ending twice is harmless.
    const ending = sessions.map((session) => session.end(context))
    this.#held.clear()
    await waitWithin(
      Promise.all([...ending, ...this.#ending]),
      context,
      this.#options.clock,
      'sessions to end',
    ).catch(() => undefined)
  }

  /** Checks at the earliest time at which the session can be due; each use moves that time. */
  #watch(id: string, held: Held): void {
    const { clock } = this.#options
    const left = Math.min(held.expiresAt - clock.now(), held.usedAt + IDLE_MS - clock.monotonic())
    if (left <= 0) {
      this.#held.delete(id)
      return
    }
    held.cancelTimer = clock.after(left, () => this.#watch(id, held))
  }

  #end(held: Held): void {
    held.cancelTimer()
    const ending = this.#endWhenIdle(held.session).finally(() => this.#ending.delete(ending))
    this.#ending.add(ending)
    this.#options.onSize(this.#held.size)
  }

  /** A Mount that uses the session would otherwise fail; its own time limit bounds the wait. */
  async #endWhenIdle(session: PodSession): Promise<void> {
    if (!this.#stopping) await session.idle()
    await session.end({ deadline: this.#options.clock.monotonic() + REVOKE_TIME_MS })
  }
}

function endOf({ claims }: ServiceAccountToken, now: number): number {
  const { expiresAt = Infinity } = claims
  return expiresAt > now ? expiresAt : now + EXPIRED_MS
}
