import { logKey, type Logger } from '../telemetry/log.ts'
import type { Clock } from '../time/clock.ts'
import { formatUtc } from '../time/utc.ts'
import { describeSilence, type HealthState, type HiddenTime } from './health.ts'

/** How often the log repeats a failure that lasts. */
const REMINDER_INTERVAL_MS = 60_000

/** Logs changes of health, and a reminder each minute while it is bad. */
export class HealthLog {
  readonly #log: Logger
  readonly #clock: Pick<Clock, 'now'>
  #last: string | undefined
  #lastAt = 0

  constructor(log: Logger, clock: Pick<Clock, 'now'>) {
    this.#log = log
    this.#clock = clock
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
    } else if (state.hiddenFor !== undefined) {
      const until = this.#describeEnd(state.hiddenFor)
      const why = describeSilence(state.reason)
      this.#log.warn(fields, `Vault ${why}; Status stays ok until ${until}: ${detail}`)
    } else {
      this.#log.error(fields, `unhealthy: ${detail}`)
    }
  }

  #describeEnd({ leftMs, setting }: HiddenTime): string {
    const now = this.#clock.now()
    return `${formatUtc(now + leftMs, now)} (${setting})`
  }
}
