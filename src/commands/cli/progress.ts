import type { Writable } from 'node:stream'

import type { Clock } from '../../time/clock.ts'

export interface ProgressOptions {
  readonly stderr: Writable
  readonly clock: Clock
  /** What is counted: "objects read". */
  readonly what: string
}

const BAR = 24
/** Time between two states of the bar, and between two lines without a terminal. */
const BAR_INTERVAL_MS = 100
const LINE_INTERVAL_MS = 10_000

/** Shows the progress of long work: on a terminal as a bar that is redrawn in place, elsewhere as an occasional line. */
export class Progress {
  readonly #options: ProgressOptions
  readonly #isTerminal: boolean
  readonly #startedAt: number
  #shownAt: number

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#isTerminal = (options.stderr as { isTTY?: boolean }).isTTY === true
    this.#startedAt = options.clock.monotonic()
    this.#shownAt = this.#isTerminal ? -Infinity : this.#startedAt
  }

  /** @param fraction of the whole, from 0 to 1; undefined if it is not known */
  show(count: number, fraction: number | undefined): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#shownAt < (this.#isTerminal ? BAR_INTERVAL_MS : LINE_INTERVAL_MS)) return
    this.#shownAt = now
    const text = this.#describe(count, fraction, now)
    // Returns to the start of the line, and erases what follows the text (ECMA-48: EL).
    const bar = this.#isTerminal ? `\r${drawBar(fraction)}${text}\u001b[K` : ''
    this.#options.stderr.write(bar === '' ? `transit-bridge: ${text}\n` : bar)
  }

  /** Removes the bar. */
  end(): void {
    if (this.#isTerminal) this.#options.stderr.write('\r\u001b[K')
  }

  #describe(count: number, fraction: number | undefined, now: number): string {
    const seconds = (now - this.#startedAt) / 1000
    const parts = [`${count.toLocaleString('en')} ${this.#options.what}`]
    if (fraction !== undefined) {
      parts.push(`${String(Math.floor(fraction * 100))} %`)
      const left = (seconds * (1 - fraction)) / fraction
      if (seconds > 1 && Number.isFinite(left)) parts.push(`${formatSeconds(left)} left`)
    }
    return parts.join(', ')
  }
}

function drawBar(fraction: number | undefined): string {
  if (fraction === undefined) return ''
  const filled = Math.round(fraction * BAR)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] `
}

function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds)
  return whole < 120 ? `${String(whole)} s` : `${String(Math.ceil(whole / 60))} min`
}
