import type { Clock } from '../../time/clock.ts'
import { isOutage, type BridgeError } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { HeldToken } from './held-token.ts'
import { describeDuration } from '../../time/duration.ts'

const REMIND_EVERY_MS = 60_000

/** The gauge is left out where many sessions live in one process: it could show only one of them. */
export type SessionMetrics = Pick<Metrics, 'vaultLogins'> &
  Partial<Pick<Metrics, 'vaultTokenExpiry'>>

export interface LoginRecordOptions {
  readonly method: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: SessionMetrics
}

interface Trouble {
  readonly since: number
  /** All outages are one kind: they may alternate without being news. */
  readonly kind: string
  readonly warnedAt: number
}

/** Tells people and Prometheus how logins go: changes at once, a lasting trouble once a minute. */
export class LoginRecord {
  readonly #options: LoginRecordOptions
  #trouble: Trouble | undefined

  constructor(options: LoginRecordOptions) {
    this.#options = options
  }

  /** A login worked and its token is in use from now on. */
  succeeded(held: HeldToken): void {
    const { method, metrics, log } = this.#options
    metrics.vaultLogins.inc({ method, outcome: 'ok' })
    this.holds(held)
    log.info({ [logKey.method]: method, ...expiryField(held) }, this.#successMessage(held))
    this.#trouble = undefined
  }

  /** A login failed; `usable` is the older token that still works, if there is one. */
  failed(error: BridgeError, usable: HeldToken | undefined): void {
    const { method, metrics } = this.#options
    metrics.vaultLogins.inc({ method, outcome: error.code })
    this.holds(usable)
    const now = this.#options.clock.monotonic()
    const last = this.#trouble
    const kind = isOutage(error) ? 'outage' : error.code
    const news = last === undefined || last.kind !== kind || now - last.warnedAt >= REMIND_EVERY_MS
    this.#trouble = { since: last?.since ?? now, kind, warnedAt: news ? now : last.warnedAt }
    if (news) this.#warn(error, usable)
  }

  /** Which token is in use now, if any. */
  holds(held: HeldToken | undefined): void {
    this.#options.metrics.vaultTokenExpiry?.set(held === undefined ? 0 : held.expiresAt / 1000)
  }

  #successMessage(held: HeldToken): string {
    const lease = held.grant.leaseSeconds
    const life = lease === 0 ? 'never ends' : `ends in ${describeDuration(lease * 1000)}`
    if (this.#trouble === undefined) return `logged in to vault; the token ${life}`
    const lasted = describeDuration(this.#options.clock.monotonic() - this.#trouble.since)
    return `logged in to vault again after ${lasted} of failures; the token ${life}`
  }

  #warn(error: BridgeError, usable: HeldToken | undefined): void {
    const { method, log } = this.#options
    const fields = { [logKey.method]: method, [logKey.code]: error.code, err: error }
    const state =
      usable === undefined ? 'there is no usable token' : 'the token of before is still used'
    log.warn(
      { ...fields, ...expiryField(usable) },
      `login to vault failed, ${state}: ${error.message}`,
    )
  }
}

/** Infinity is no JSON: a token that never ends has no such field. */
function expiryField(held: HeldToken | undefined): object {
  if (held === undefined || !Number.isFinite(held.expiresAt)) return {}
  return { [logKey.expiresAt]: new Date(held.expiresAt).toISOString() }
}
