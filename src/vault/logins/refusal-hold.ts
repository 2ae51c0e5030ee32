import { createHash } from 'node:crypto'
import type { BridgeError } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'

/** How long a refused credential is held back: the first time, and at most. */
export interface HoldTimes {
  readonly firstMs: number
  readonly maxMs: number
}

/**
 * For a refusal that Vault counts toward user lockout: by default five within 15 minutes lock the login for everyone
 * who uses the same role (https://developer.hashicorp.com/vault/docs/concepts/user-lockout). A pause longer than those
 * 15 minutes lets the count start again, so a single node never locks the role.
 */
export const COUNTED_REFUSAL: HoldTimes = { firstMs: 20 * 60_000, maxMs: 2 * 3600_000 }

/** For a refusal that affects only this client: its cause is usually fixed in Vault, and soon. */
export const HARMLESS_REFUSAL: HoldTimes = { firstMs: 5_000, maxMs: 60_000 }

/** Jitter only lengthens a pause: it must not fall below Vault's counter reset. */
const JITTER = 0.25

interface Held {
  readonly digest: string
  readonly error: BridgeError
  readonly count: number
  readonly untilMs: number
}

/** Keeps a credential that Vault refused from being sent again too soon; see docs/design.md, "Logins". */
export class RefusalHold {
  readonly #clock: Clock
  readonly #random: () => number
  #held: Held | undefined

  constructor(clock: Clock, random: () => number = Math.random) {
    this.#clock = clock
    this.#random = random
  }

  /** Throws the refusal of this credential if it may not be sent again yet. */
  check(digest: string): void {
    const held = this.#held
    if (held?.digest === digest && this.#clock.monotonic() < held.untilMs) throw held.error
  }

  /** Holds the credential back; `explain` gets the wall-clock time until then and returns the error to throw. */
  refused(digest: string, times: HoldTimes, explain: (until: Date) => BridgeError): BridgeError {
    const count = this.#held?.digest === digest ? this.#held.count + 1 : 1
    const pauseMs =
      Math.min(times.firstMs * 2 ** (count - 1), times.maxMs) * (1 + JITTER * this.#random())
    const error = explain(new Date(this.#clock.now() + pauseMs))
    this.#held = { digest, error, count, untilMs: this.#clock.monotonic() + pauseMs }
    return error
  }

  /** Vault accepted a credential. */
  clear(): void {
    this.#held = undefined
  }
}

/** Identifies a credential without keeping it. */
export function digestOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}
