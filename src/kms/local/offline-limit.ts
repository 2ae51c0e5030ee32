import type { CancelTimer, Clock } from '../../time/clock.ts'
import { elapsedTime } from '../../time/elapsed-time.ts'
import { CHECK_TIMEOUT_MS } from '../check-context.ts'

/** Part of `offlineFor` for which local keys still decrypt after they no longer encrypt. */
const DECRYPT_SHARE = 0.25
/** Timers do not count the time in which the machine was suspended, and do not follow the wall clock. */
const LONGEST_WAIT_MS = 60_000
/** Enough for a check that hangs, and for another one after it. */
const CONFIRM_MS = 2 * CHECK_TIMEOUT_MS

/** Why local keys may no longer be used. */
export interface LimitEnd {
  readonly why: 'time' | 'refusal'
  /** Since Vault last agreed; undefined if local keys could not be used before either. */
  readonly ageMs: number | undefined
}

export interface OfflineLimitOptions {
  /** Longest time that local keys encrypt after Vault last agreed (kms.localKeys.offlineFor). */
  readonly offlineForMs: number
  /** Called when the time seems to be over: asks for a check at once. Returns false if the last check failed. */
  readonly askVault: () => boolean
  /** Called when local keys no longer encrypt, but still decrypt. */
  readonly onEncryptEnd: () => void
  /** Called when the time to decrypt is also over, and after a refusal: every local key must be zeroed. */
  readonly onEnd: (end: LimitEnd) => void
  readonly clock: Clock
}

/**
 * How long local keys may be used without Vault (docs/design.md, "Local keys"). Vault agrees each time a check passes. Time
 * in which the machine was suspended counts; a wall clock that is set forward shortens the time, and one that is set back
 * does not extend it. So the time may be over between two checks that pass: then local keys may not be used, but they are kept
 * until a check had its chance.
 */
export class OfflineLimit {
  readonly #options: OfflineLimitOptions
  readonly #elapsed: () => number
  #agreedAt: number | undefined
  /** Whether {@link OfflineLimitOptions.onEncryptEnd} is due. */
  #encrypts = false
  #cancelTimer: CancelTimer | undefined

  constructor(options: OfflineLimitOptions) {
    this.#options = options
    this.#elapsed = elapsedTime(options.clock)
  }

  /** Vault agreed: the time starts again. */
  agree(): void {
    this.#agreedAt = this.#elapsed()
    this.#encrypts = true
    this.#watchEnd()
  }

  /** Vault agreed `ageMs` ago, before this process started. */
  restore(ageMs: number): void {
    this.#agreedAt = this.#elapsed() - ageMs
    this.#encrypts = this.encryptLeftMs > 0
    if (this.mayDecrypt) this.#watchEnd()
    else this.#agreedAt = undefined
  }

  /** Vault refused: nothing may be used until it agrees again. */
  refuse(): void {
    this.#end('refusal')
  }

  #end(why: LimitEnd['why']): void {
    const { ageMs } = this
    this.#agreedAt = undefined
    this.#cancelTimer?.()
    this.#options.onEnd({ why, ageMs })
  }

  /** Milliseconds since Vault last agreed; undefined if it did not agree, or refused since. */
  get ageMs(): number | undefined {
    return this.#agreedAt === undefined ? undefined : this.#elapsed() - this.#agreedAt
  }

  /** Milliseconds for which local keys may still encrypt; 0 if they may not. */
  get encryptLeftMs(): number {
    return this.#left(this.#options.offlineForMs)
  }

  /** Whether local keys may still decrypt. */
  get mayDecrypt(): boolean {
    return this.decryptLeftMs > 0
  }

  /** Milliseconds for which local keys may still decrypt; 0 if they may not. */
  get decryptLeftMs(): number {
    return this.#left(this.#options.offlineForMs * (1 + DECRYPT_SHARE))
  }

  #left(limitMs: number): number {
    if (this.#agreedAt === undefined) return 0
    return Math.max(0, this.#agreedAt + limitMs - this.#elapsed())
  }

  /** Reports the ends when they come, even if there are no calls. */
  #watchEnd(): void {
    if (!this.mayDecrypt || (this.#encrypts && this.encryptLeftMs === 0)) return this.#confirmEnd()
    const leftMs = this.#encrypts ? this.encryptLeftMs : this.decryptLeftMs
    this.#setTimer(Math.min(leftMs, LONGEST_WAIT_MS), () => this.#watchEnd())
  }

  #confirmEnd(): void {
    if (!this.#options.askVault()) return this.#passEnd()
    this.#setTimer(CONFIRM_MS, () => this.#passEnd())
  }

  #passEnd(): void {
    if (!this.mayDecrypt) return this.#end('time')
    this.#encrypts = false
    this.#options.onEncryptEnd()
    this.#watchEnd()
  }

  #setTimer(delayMs: number, run: () => void): void {
    this.#cancelTimer?.()
    this.#cancelTimer = this.#options.clock.after(delayMs, run)
  }
}
