import { BridgeError } from '../errors.ts'
import type { KeySnapshot } from '../seed/key-snapshot.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import { isStepBack, STEP_BACK_PATIENCE_MS } from '../transit/key.ts'

/** How long Vault must show the older key before a failed Encrypt with the known version confirms it. */
const CONFIRM_AFTER_MS = 2_000

/**
 * Decides why Vault shows fewer versions of the key than were known: an HA standby lags behind a rotation, or Vault was
 * restored from a backup. A standby catches up within seconds; a restored Vault refuses to encrypt with the version that it
 * lost.
 */
export class StepBack {
  readonly #log: Logger
  #seen: { readonly since: number; older: KeySnapshot } | undefined

  constructor(log: Logger) {
    this.#log = log
  }

  /** Whether the last read showed an older key that was not accepted. */
  get isSeen(): boolean {
    return this.#seen !== undefined
  }

  /** Whether `next` replaces `known`. An older key does so only after Vault has shown it for STEP_BACK_PATIENCE_MS. */
  accepts(known: KeySnapshot, next: KeySnapshot): boolean {
    if (!isStepBack(known.key, next.key)) {
      this.#seen = undefined
      return true
    }
    if (this.#seen === undefined) {
      this.#seen = { since: next.takenAt, older: next }
      this.#warn(
        next,
        `Vault shows version ${String(next.keyVersion)} as the latest of the key, but version ${String(known.keyVersion)} was known; keeping version ${String(known.keyVersion)} until Vault refuses it (a standby that lags catches up within seconds)`,
      )
    }
    this.#seen.older = next
    if (next.takenAt - this.#seen.since < STEP_BACK_PATIENCE_MS) return false
    this.#accept(next)
    return true
  }

  /** Returns the older key when a proof with the known version failed because Vault does not have that version. */
  confirm(error: unknown, now: number): KeySnapshot | undefined {
    const isLost = error instanceof BridgeError && error.code === 'KEY_VERSION_UNKNOWN'
    if (!isLost || this.#seen === undefined) return undefined
    if (now - this.#seen.since < CONFIRM_AFTER_MS) return undefined
    const { older } = this.#seen
    this.#accept(older)
    return older
  }

  #accept(older: KeySnapshot): void {
    this.#seen = undefined
    this.#warn(
      older,
      `Vault lost versions of the key, as after a restore from an older backup: version ${String(older.keyVersion)} is the latest; data encrypted with later versions cannot be decrypted until a newer backup is restored`,
    )
  }

  #warn({ keyVersion, keyId }: KeySnapshot, message: string): void {
    this.#log.warn({ [logKey.keyVersion]: keyVersion, [logKey.keyId]: keyId }, message)
  }
}
