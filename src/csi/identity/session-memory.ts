import { LRUCache } from 'lru-cache'
import type { CancelTimer, Clock } from '../../time/clock.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import type { CallContext } from '../../call-context.ts'
import { identify, type PodSession } from './pod-session.ts'

/** Far more than a node has pods (110 by default) or a cluster has objects that the sync controller syncs. */
const MAX_SESSIONS = 1_000
/** kubelet asks every 60 to 90 s: a token that nobody came with for so long belongs to a pod that is gone. */
const IDLE_MS = 5 * 60_000
const REVOKE_TIME_MS = 4_000

export interface SessionMemoryOptions {
  readonly open: (token: ServiceAccountToken, role: string, id: string) => PodSession
  readonly clock: Clock
  /** Told how many sessions are held, whenever that changes. */
  readonly onSize: (sessions: number) => void
  /** Default: 1000. */
  readonly maxSessions?: number
}

/**
 * How long a session is kept whose service-account token has expired by this host's clock. The clock may be wrong, so
 * Vault decides: it accepts or refuses the token at each new login.
 */
const EXPIRED_MS = 60_000

interface Held {
  readonly session: PodSession
  /** Milliseconds since 1970: when the service-account token ends, whatever Vault's own token may do longer. */
  readonly expiresAt: number
  usedAt: number
  cancelTimer: CancelTimer
}

/**
 * The Vault sessions of pods, by the hash of service-account token and role: to have one, a caller must bring the
 * very token that Vault was shown. A session that leaves the memory is ended, and its Vault token revoked.
 */
export class SessionMemory {
  readonly #options: SessionMemoryOptions
  readonly #held: LRUCache<string, Held>
  readonly #ending = new Set<Promise<void>>()

  constructor(options: SessionMemoryOptions) {
    this.#options = options
    this.#held = new LRUCache({
      max: options.maxSessions ?? MAX_SESSIONS,
      // After, so that the size that is told is without it.
      disposeAfter: (held) => this.#end(held),
    })
  }

  get size(): number {
    return this.#held.size
  }

  /** The session of a token and a role; a new one has asked nothing of Vault yet. */
  open(token: ServiceAccountToken, role: string): PodSession {
    const { clock, open, onSize } = this.#options
    const id = identify(token, role)
    const known = this.#held.get(id)
    if (known !== undefined) {
      known.usedAt = clock.monotonic()
      return known.session
    }
    const session = open(token, role, id)
    const held: Held = {
      session,
      expiresAt: endOf(token, clock.now()),
      usedAt: clock.monotonic(),
      cancelTimer: () => undefined,
    }
    this.#held.set(id, held)
    this.#watch(id, held)
    onSize(this.#held.size)
    return session
  }

  /** Ends all sessions, as far as the deadline allows. */
  async stop(context: CallContext): Promise<void> {
    const sessions = [...this.#held.values()].map(({ session }) => session)
    // Each is ended here, within the caller's deadline; that it then leaves the memory changes nothing.
    const ending = sessions.map((session) => session.end(context))
    this.#held.clear()
    await Promise.all([...ending, ...this.#ending])
  }

  /** Looks again when the session may be due to end: every use moves that. */
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
    const { clock, onSize } = this.#options
    held.cancelTimer()
    const ending = held.session
      .end({ deadline: clock.monotonic() + REVOKE_TIME_MS })
      .finally(() => this.#ending.delete(ending))
    this.#ending.add(ending)
    onSize(this.#held.size)
  }
}

function endOf({ claims }: ServiceAccountToken, now: number): number {
  const { expiresAt = Infinity } = claims
  return expiresAt > now ? expiresAt : now + EXPIRED_MS
}
