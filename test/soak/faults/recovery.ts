import { setTimeout as sleep } from 'node:timers/promises'
import type { Findings } from '../watch/findings.ts'
import type { Member } from '../members/member.ts'

/**
 * The longest documented time: after a refused login a plugin is healthy within 90 s, otherwise within 10 s
 * (docs/availability.md). A busy machine may need several times as long as that.
 */
const MUST_RECOVER_MS = 90_000
/** The run cannot continue without it. */
const GIVE_UP_MS = 300_000
const PAUSE_MS = 100

/** @param endedAt when the last fault ended, by `performance.now()` */
export type Works = (endedAt: number) => Promise<boolean>

/** What a fault was for a program, for the table of recovery times. */
export interface RecoveryTimes {
  readonly fault: string
  readonly timesMs: readonly number[]
}

/** Waits until programs work again after faults, and remembers how long that took. */
export class Recovery {
  readonly #findings: Findings
  readonly #times = new Map<string, number[]>()

  constructor(findings: Findings) {
    this.#findings = findings
  }

  get times(): readonly RecoveryTimes[] {
    return [...this.#times].map(([fault, timesMs]) => ({ fault, timesMs }))
  }

  /** @param fault that has just ended; if another one is active or begins, that one's end is what counts */
  async wait(member: Member, works: Works, fault: string): Promise<void> {
    const { condition, name } = member
    const endedAt = performance.now()
    let last = 'it was not asked'
    let isReported = false
    while (condition.isQuiet && !condition.isSettled) {
      const mark = condition.mark()
      try {
        if ((await works(endedAt)) && condition.settle(mark))
          this.#note(fault, performance.now() - endedAt)
        else last = 'Status or the key id is not right'
      } catch (error) {
        if (!(error instanceof Error && 'code' in error)) throw error
        last = `${String(error.code)} ${error.message}`
      }
      const passedMs = performance.now() - endedAt
      if (passedMs > MUST_RECOVER_MS && !isReported && !condition.isSettled) {
        isReported = true
        const seconds = (MUST_RECOVER_MS / 1000).toFixed(0)
        const text = `${name}: it does not work ${seconds} s after "${fault}": ${last}`
        this.#findings.add('recovery', text)
      }
      if (passedMs > GIVE_UP_MS) throw new Error(`${name} does not recover: ${last}`)
      if (!condition.isSettled) await sleep(PAUSE_MS)
    }
  }

  #note(fault: string, timeMs: number): void {
    const times = this.#times.get(fault) ?? []
    times.push(timeMs)
    this.#times.set(fault, times)
  }
}
