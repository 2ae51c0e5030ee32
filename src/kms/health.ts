import { isOutage, type BridgeError, type ErrorCode } from '../errors.ts'

/** Longest reason in a Status answer; kube-apiserver puts it into its own health text. */
const MAX_REASON_LENGTH = 500

export type HealthReason = 'ok' | 'starting' | ErrorCode

export interface HealthState {
  readonly healthy: boolean
  /** For metrics and scripts. While an outage is in its grace: the outage's code, with `healthy` true. */
  readonly reason: HealthReason
  /** For people: "ok" or a sentence. */
  readonly text: string
  /** Milliseconds of Clock.monotonic since when Vault has been failing; undefined while it works. */
  readonly failingSince?: number
}

/**
 * Whether the plugin can do its work (design §2.6). An outage leaves Status "ok" for the grace, so that a
 * leader election does not take every API server out of its load balancer; a refusal has no grace.
 */
export class Health {
  readonly #outageGrace: number
  #proven = false
  #doubted = false
  #failure: { readonly error: BridgeError; readonly since: number } | undefined

  /** @param outageGrace milliseconds that an outage may last before it shows */
  constructor(outageGrace: number) {
    this.#outageGrace = outageGrace
  }

  /** Whether the next success must be a full round trip: at start, and after any failure. */
  get needsProof(): boolean {
    return !this.#proven || this.#doubted || this.#failure !== undefined
  }

  /**
   * A call failed in a way that may concern every call: the next success must be a full round trip.
   * Returns whether that was known already.
   */
  doubt(): boolean {
    const known = this.needsProof
    this.#doubted = true
    return known
  }

  /** A full encrypt and decrypt succeeded. */
  prove(): void {
    this.#proven = true
    this.#doubted = false
    this.#failure = undefined
  }

  /** Vault could not be used; `since` stays that of the first failure until a proof. */
  fail(error: BridgeError, now: number): void {
    this.#failure = { error, since: this.#failure?.since ?? now }
    // A refusal ends the grace of the past: what follows it is not the short outage that grace is for.
    if (!isOutage(error)) this.#proven = false
  }

  /** Milliseconds until an outage shows in Status by itself; Infinity where there is no such moment. */
  graceLeft(now: number): number {
    if (this.#failure === undefined || !this.#proven) return Infinity
    const left = this.#failure.since + this.#outageGrace - now
    return left > 0 ? left : Infinity
  }

  state(now: number): HealthState {
    const failure = this.#failure
    if (failure === undefined) {
      return this.#proven
        ? { healthy: true, reason: 'ok', text: 'ok' }
        : {
            healthy: false,
            reason: 'starting',
            text: 'starting: vault has not been asked to encrypt and decrypt yet',
          }
    }
    const { error, since } = failure
    const inGrace = this.#proven && now - since < this.#outageGrace
    return {
      healthy: inGrace,
      reason: error.code,
      text: inGrace ? 'ok' : shorten(error.message),
      failingSince: since,
    }
  }
}

/** One line for a Status answer and for a terminal: no control characters, no half of a surrogate pair. */
function shorten(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim()
  if (line.length <= MAX_REASON_LENGTH) return line
  return `${line.slice(0, MAX_REASON_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
