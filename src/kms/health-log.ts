import { logKey, type Logger } from '../telemetry/log.ts'
import type { HealthState } from './health.ts'

/** A failure that lasts is said again this often (milliseconds). */
const REMINDER_INTERVAL = 60_000

/** Writes a line when health changes, and a reminder each minute while it stays bad. */
export class HealthLog {
  readonly #log: Logger
  #last: string | undefined
  #lastAt = 0

  constructor(log: Logger) {
    this.#log = log
  }

  /** @param detail why, in words, also while the state still says "ok" to the API server */
  report(state: HealthState, detail: string, now: number): void {
    const summary = `${String(state.healthy)} ${state.reason}`
    const changed = summary !== this.#last
    const failing = state.failingSince !== undefined
    if (!changed && !(failing && now - this.#lastAt >= REMINDER_INTERVAL)) return
    this.#last = summary
    this.#lastAt = now
    const fields = { [logKey.reason]: state.reason }
    if (!failing) {
      this.#log.info(fields, state.healthy ? 'healthy' : 'starting')
    } else if (state.healthy) {
      this.#log.warn(fields, `vault does not answer; status stays ok for now: ${detail}`)
    } else {
      this.#log.error(fields, `unhealthy: ${detail}`)
    }
  }
}
