import type { Clock } from '../../time/clock.ts'
import { isOutage, type BridgeError } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import { setOrRemove } from '../../telemetry/metrics/definition.ts'
import type { KmsMetrics, VaultMetrics } from '../../telemetry/metrics/roles.ts'
import type { HeldToken } from './held-token.ts'
import { describeDuration } from '../../time/duration.ts'

const REMIND_EVERY_MS = 60_000

/** Without the gauges where one process has many sessions: they could show only one of them. */
export type SessionMetrics = Pick<VaultMetrics, 'vaultLogins'> &
  Partial<Pick<KmsMetrics, 'vaultTokenExpiry' | 'loginsFailingSince'>>

export interface LoginRecordOptions {
  readonly method: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: SessionMetrics
}

interface Trouble {
  readonly since: number
  /** All outages are one kind: a change from one to another is not reported. */
  readonly kind: string
  readonly warnedAt: number
  readonly error: BridgeError
}

/** Records logins in the log and in the metrics: each change at once, a lasting failure once a minute. */
export class LoginRecord {
  readonly #options: LoginRecordOptions
  #trouble: Trouble | undefined
  #warnedOfUses: number | undefined

  constructor(options: LoginRecordOptions) {
    this.#options = options
  }

  /** A login worked, and its token is in use from now on. */
  succeeded(held: HeldToken): void {
    const { method, metrics, log } = this.#options
    metrics.vaultLogins.inc({ method, outcome: 'ok' })
    this.holds(held)
    log.info({ [logKey.method]: method, ...expiryField(held) }, this.#successMessage(held))
    this.#trouble = undefined
    metrics.loginsFailingSince?.reset()
    this.#warnOfUses(held)
  }

  /** A login failed; `usable` is the previous token, if it still works. */
  failed(error: BridgeError, usable: HeldToken | undefined): void {
    const { method, metrics } = this.#options
    const last = this.#trouble
    // A credential that is held back throws the error of its last login again: nothing was sent.
    if (last?.error !== error) metrics.vaultLogins.inc({ method, outcome: error.code })
    this.holds(usable)
    const now = this.#options.clock.monotonic()
    const kind = isOutage(error) ? 'outage' : error.code
    const news = last === undefined || last.kind !== kind || now - last.warnedAt >= REMIND_EVERY_MS
    const warnedAt = news ? now : last.warnedAt
    this.#trouble = { since: last?.since ?? now, kind, warnedAt, error }
    this.#showTrouble(this.#trouble, now)
    if (news) this.#warn(error, usable)
  }

  /** Which token is in use now, if any. */
  holds(held: HeldToken | undefined): void {
    const { vaultTokenExpiry } = this.#options.metrics
    if (vaultTokenExpiry === undefined) return
    setOrRemove(vaultTokenExpiry, held === undefined ? undefined : held.expiresAt / 1000)
  }

  #showTrouble({ since, error }: Trouble, now: number): void {
    const { method, metrics, clock } = this.#options
    metrics.loginsFailingSince?.reset()
    const startedAt = clock.now() - (now - since)
    metrics.loginsFailingSince?.set({ method, code: error.code }, startedAt / 1000)
  }

  #successMessage(held: HeldToken): string {
    const { leaseSeconds } = held.grant
    const expiry =
      leaseSeconds === Infinity
        ? 'never expires'
        : `expires in ${describeDuration(leaseSeconds * 1000)}`
    if (this.#trouble === undefined) return `logged in to Vault; the token ${expiry}`
    const lasted = describeDuration(this.#options.clock.monotonic() - this.#trouble.since)
    return `logged in to Vault again after ${lasted} of failures; the token ${expiry}`
  }

  /** Each use is a write in Vault, and a login replaces the token before its uses are spent. */
  #warnOfUses({ grant: { maxUses } }: HeldToken): void {
    if (maxUses === undefined || this.#warnedOfUses === maxUses) return
    this.#warnedOfUses = maxUses
    const { method, log } = this.#options
    log.warn(
      { [logKey.method]: method },
      `Vault accepts only ${maxUses} requests with each token, so this program logs in again before they are used up; set token_num_uses=0 on the role`,
    )
  }

  #warn(error: BridgeError, usable: HeldToken | undefined): void {
    const { method, log } = this.#options
    const fields = { [logKey.method]: method, [logKey.code]: error.code, err: error }
    const state =
      usable === undefined ? 'there is no usable token' : 'the previous token is still in use'
    log.warn(
      { ...fields, ...expiryField(usable) },
      `login to Vault failed, ${state}: ${error.message}`,
    )
  }
}

/** JSON has no Infinity: a token that never expires has no such field. */
function expiryField(held: HeldToken | undefined): object {
  if (held === undefined || !Number.isFinite(held.expiresAt)) return {}
  return { [logKey.expiresAt]: new Date(held.expiresAt).toISOString() }
}
