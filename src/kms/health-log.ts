import { logKey, type Logger } from '../telemetry/log.ts'
import type { HealthState } from './health.ts'

/** How often the log repeats a failure that lasts. */
const REMINDER_INTERVAL_MS = 60_000

/** Logs changes of health, and a reminder each minute while it is bad. */
export class HealthLog {
  readonly #log: Logger
  #last: string | undefined
  #lastAt = 0

  constructor(log: Logger) {
    this.#log = log
  }

  /** @param detail the reason in words, also while Status is still "ok" */
  report(state: HealthState, detail: string, now: number): void {
    const summary = `${String(state.healthy)} ${state.reason}`
    const changed = summary !== this.#last
    const failing = state.failingSince !== undefined
    if (!changed && !(failing && now - this.#lastAt >= REMINDER_INTERVAL_MS)) return
    this.#last = summary
    this.#lastAt = now
    const fields = { [logKey.reason]: state.reason }
    if (!failing) {
      this.#log.info(fields, state.healthy ? 'healthy' : 'starting')
    } else if (state.healthy) {
      this.#log.warn(fields, `Vault does not answer; Status stays ok for now: ${detail}`)
    } else {
      this.#log.error(fields, `unhealthy: ${detail}`)
    }
  }
}
