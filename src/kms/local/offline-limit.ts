import type { CancelTimer, Clock } from '../../time/clock.ts'
import { elapsedTime } from '../../time/elapsed-time.ts'

/** Part of `offlineFor` for which local keys still decrypt after they no longer encrypt. */
const DECRYPT_SHARE = 0.25

export interface OfflineLimitOptions {
  /** Longest time that local keys encrypt after Vault last agreed (kms.localKeys.offlineFor). */
  readonly offlineForMs: number
  /** Called when the time to decrypt is also over: every local key must be zeroed. */
  readonly onEnd: () => void
  readonly clock: Clock
}

/**
 * How long local keys may be used without Vault (docs/design.md, "Local keys"). Vault agrees each time a check passes. Time
 * in which the machine was suspended counts; a wall clock that is set forward shortens the time, and one that is set back
 * does not extend it.
 */
export class OfflineLimit {
  readonly #options: OfflineLimitOptions
  readonly #elapsed: () => number
  #agreedAt: number | undefined
  #cancelTimer: CancelTimer | undefined

  constructor(options: OfflineLimitOptions) {
    this.#options = options
    this.#elapsed = elapsedTime(options.clock)
  }

  /** Vault agreed: the time starts again. */
  agree(): void {
    this.#agreedAt = this.#elapsed()
    this.#watchEnd()
  }

  /** Vault agreed `ageMs` ago, before this process started. */
  restore(ageMs: number): void {
    this.#agreedAt = this.#elapsed() - ageMs
    if (this.mayDecrypt) this.#watchEnd()
  }

  /** Vault refused: nothing may be used until it agrees again. */
  end(): void {
    this.#agreedAt = undefined
    this.#cancelTimer?.()
    this.#options.onEnd()
  }

  /** Milliseconds for which local keys may still encrypt; 0 if they may not. */
  get encryptLeftMs(): number {
    return this.#left(this.#options.offlineForMs)
  }

  /** Whether local keys may still decrypt. */
  get mayDecrypt(): boolean {
    return this.#decryptLeftMs > 0
  }

  get #decryptLeftMs(): number {
    return this.#left(this.#options.offlineForMs * (1 + DECRYPT_SHARE))
  }

  #left(limitMs: number): number {
    if (this.#agreedAt === undefined) return 0
    return Math.max(0, this.#agreedAt + limitMs - this.#elapsed())
  }

  /** Zeroes the keys when the time is over, even if there are no calls. */
  #watchEnd(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = this.#options.clock.after(this.#decryptLeftMs, () => {
      if (this.mayDecrypt) this.#watchEnd()
      else this.end()
    })
  }
}
