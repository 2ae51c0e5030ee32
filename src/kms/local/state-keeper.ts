import type { CancelTimer, Clock } from '../../time/clock.ts'
import type { SealedFile } from './sealed-file.ts'
import type { OfflineState } from './sealed-format.ts'

/** A change is written after this time, together with those that arrived in the meantime. */
const CHANGE_DELAY_MS = 1_000
/**
 * Without a change, the time of Vault's last agreement is written after this part of `offlineFor`, or after the longest time
 * if that is shorter.
 */
const RENEW_SHARE = 1 / 16
const LONGEST_RENEW_MS = 300_000
/** Wait before a failed write is retried. */
const RETRY_DELAY_MS = 30_000

export interface StateKeeperOptions {
  readonly file: Pick<SealedFile, 'save' | 'remove' | 'release' | 'isHeldElsewhere'>
  /** Returns what must be in the file now, as copies; undefined if it must not exist. */
  readonly collect: () => OfflineState | undefined
  readonly offlineForMs: number
  /** Called when the file was written. */
  readonly onWritten: () => void
  readonly clock: Clock
}

/** Decides when the sealed file is written: soon after a change, and regularly, so that its age stays far below `offlineFor`. */
export class StateKeeper {
  readonly #options: StateKeeperOptions
  #cancelTimer: CancelTimer | undefined
  #writtenAt = -Infinity
  /** Counts the calls of {@link forget}. */
  #forgets = 0
  /** How many of them are done: the file was replaced or removed after them. */
  #settled = 0
  /** A write that has not collected yet covers further calls of {@link forget}: each refused call is one. */
  #isForgetQueued = false
  #stopped = false
  /** Whether a write became due after {@link stop} began. */
  #isMissed = false
  #ended = false

  constructor(options: StateKeeperOptions) {
    this.#options = options
  }

  /** A local key was added or removed. */
  change(): void {
    this.#schedule(CHANGE_DELAY_MS)
  }

  /** Vault agreed. */
  agree(): void {
    const { offlineForMs, clock } = this.#options
    const renewMs = Math.min(offlineForMs * RENEW_SHARE, LONGEST_RENEW_MS)
    if (clock.monotonic() - this.#writtenAt >= renewMs) this.#schedule(0)
  }

  /** Local keys in the file are no longer valid: replaces or removes it at once, and retries until that succeeds. */
  forget(): void {
    // The plugin then revokes its own Vault token, so a refusal means nothing, and the file may be another plugin's.
    if (this.#ended) return
    this.#cancel()
    this.#forgets += 1
    if (this.#isForgetQueued) return
    this.#isForgetQueued = true
    void this.#write()
  }

  /**
   * Writes at once, so that a successor can use the file while calls in flight are finished. When these have ended, it writes what
   * they have added, unless a successor uses the file by then.
   */
  async stop(callsEnd: Promise<unknown>): Promise<void> {
    const { file } = this.#options
    this.#stopped = true
    this.#cancel()
    await this.#write()
    await file.release()
    await callsEnd
    this.#ended = true
    const isDue = this.#isMissed || this.#settled !== this.#forgets
    if (isDue && !(await file.isHeldElsewhere())) await this.#write()
    await file.release()
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) {
      this.#isMissed = true
      return
    }
    this.#cancelTimer ??= this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = undefined
      void this.#write()
    })
  }

  async #write(): Promise<void> {
    const { file, collect, onWritten, clock } = this.#options
    // Before the write, so that a change in the meantime is written, too.
    this.#writtenAt = clock.monotonic()
    let isDue = false
    let forgets = 0
    const isWritten = await file.save(() => {
      this.#isForgetQueued = false
      const state = collect()
      // What collect() returned may contain what a later forget() is about.
      forgets = this.#forgets
      isDue = state !== undefined
      return state
    })
    if (isWritten) {
      this.#settled = Math.max(this.#settled, forgets)
      onWritten()
      return
    }
    // What could not be written yet is written as soon as Vault agrees.
    if (!isDue) this.#writtenAt = -Infinity
    const isGone = this.#settled === this.#forgets || (await this.#remove())
    if (isDue || !isGone) this.#schedule(RETRY_DELAY_MS)
  }

  async #remove(): Promise<boolean> {
    this.#writtenAt = -Infinity
    const forgets = this.#forgets
    const isGone = await this.#options.file.remove()
    if (isGone) this.#settled = Math.max(this.#settled, forgets)
    return isGone
  }

  #cancel(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }
}
