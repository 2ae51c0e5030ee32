import { LRUCache } from 'lru-cache'
import type { Clock } from '../../time/clock.ts'
import { isOutage, type BridgeError } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import { namePod, type PodReference } from '../mount-request.ts'

const MAX_VOLUMES = 10_000
/** A volume that was not asked for in so long is gone: kubelet asks every 60 to 90 s. */
const IDLE_MS = 5 * 60_000
/** A failure that lasts is said again this often. */
const REMIND_EVERY_MS = 10 * 60_000

interface Volume {
  /** When Vault last confirmed what was served; undefined before the first success. */
  readonly confirmedAt: number | undefined
  readonly askedAt: number
  readonly trouble: { readonly kind: string; readonly warnedAt: number } | undefined
}

/**
 * Which volumes are asked for, and since when Vault has not confirmed their content. Driver 1.6 tells nobody when
 * a republish fails (kubernetes#121271), so this is where it shows: in a metric, and once in the log.
 */
export class VolumeLedger {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #volumes = new LRUCache<string, Volume>({ max: MAX_VOLUMES })

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** @param confirmedAt milliseconds of Clock.monotonic: when Vault gave the oldest part of the content */
  served(volume: string, pod: PodReference, confirmedAt: number): void {
    const before = this.#volumes.get(volume)
    const askedAt = this.#clock.monotonic()
    this.#volumes.set(volume, { confirmedAt, askedAt, trouble: undefined })
    if (before?.trouble !== undefined) {
      this.#log.info(fieldsOf(pod), `the volume of pod ${namePod(pod)} is served again`)
    }
  }

  failed(volume: string, pod: PodReference, error: BridgeError): void {
    const before = this.#volumes.get(volume)
    const askedAt = this.#clock.monotonic()
    const last = before?.trouble
    // Outages alternate between codes without being news.
    const kind = isOutage(error) ? 'outage' : error.code
    const isNews = last?.kind !== kind || askedAt - last.warnedAt >= REMIND_EVERY_MS
    const trouble = isNews ? { kind, warnedAt: askedAt } : last
    this.#volumes.set(volume, { confirmedAt: before?.confirmedAt, askedAt, trouble })
    if (isNews) this.#warn(pod, error, before?.confirmedAt)
  }

  /** How many volumes are asked for now, and the age of the oldest content that was served to one, in milliseconds. */
  summary(): { readonly volumes: number; readonly oldest: number } {
    const now = this.#clock.monotonic()
    const live = [...this.#volumes.values()].filter(({ askedAt }) => now - askedAt < IDLE_MS)
    const ages = live.flatMap(({ confirmedAt }) =>
      confirmedAt === undefined ? [] : now - confirmedAt,
    )
    return { volumes: live.length, oldest: Math.max(0, ...ages) }
  }

  #warn(pod: PodReference, error: BridgeError, confirmedAt: number | undefined): void {
    const state = confirmedAt === undefined ? 'it cannot start' : 'it keeps the files that it has'
    this.#log.warn(
      { ...fieldsOf(pod), [logKey.code]: error.code },
      `the volume of pod ${namePod(pod)} could not be served, ${state}: ${error.message}`,
    )
  }
}

function fieldsOf({ namespace, serviceAccount }: PodReference): object {
  return { [logKey.namespace]: namespace, [logKey.serviceAccount]: serviceAccount }
}
