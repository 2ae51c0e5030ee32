import { LRUCache } from 'lru-cache'
import type { Clock } from '../../time/clock.ts'
import { isOutage, type BridgeError, type ErrorCode } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import { namePod, type PodReference } from '../mount-request.ts'

const MAX_VOLUMES = 10_000
/** A volume that was not asked for in so long is gone: the kubelet asks every 60 to 90 s. */
const IDLE_MS = 5 * 60_000
/** A failure that lasts is logged again this often. */
const REMIND_EVERY_MS = 10 * 60_000

/** Why a volume fails. An outage alternates between codes without being news. */
export type FailureReason = ErrorCode | 'outage'

interface Volume {
  /** When Vault last confirmed what was served; undefined before the first success. */
  readonly confirmedAt: number | undefined
  readonly trouble: { readonly reason: FailureReason; readonly warnedAt: number } | undefined
}

export interface LedgerSummary {
  /** Volumes that are asked for now. */
  readonly volumes: number
  /** Of these, the volumes whose last Mount failed, by reason. */
  readonly failing: ReadonlyMap<FailureReason, number>
  /** Age of the oldest content that was served to a volume, in milliseconds; 0 without any. */
  readonly oldestMs: number
}

/**
 * Which volumes are asked for, which of them fail, and since when Vault has not confirmed their content. Kubernetes
 * does not show a republish that fails (kubernetes/kubernetes#121271), so metrics and one log line do.
 */
export class VolumeLedger {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #volumes: LRUCache<string, Volume>

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    this.#volumes = new LRUCache({
      max: MAX_VOLUMES,
      ttl: IDLE_MS,
      ttlResolution: 0,
      perf: { now: () => clock.monotonic() },
    })
  }

  /** @param confirmedAt milliseconds of Clock.monotonic: when Vault returned the oldest part of the content */
  served(volume: string, pod: PodReference, confirmedAt: number): void {
    const before = this.#volumes.get(volume)
    this.#volumes.set(volume, { confirmedAt, trouble: undefined })
    if (before?.trouble !== undefined) {
      this.#log.info(fieldsOf(pod), `the volume of pod ${namePod(pod)} is served again`)
    }
  }

  failed(volume: string, pod: PodReference, error: BridgeError): void {
    const before = this.#volumes.get(volume)
    const now = this.#clock.monotonic()
    const last = before?.trouble
    const reason: FailureReason = isOutage(error) ? 'outage' : error.code
    const isNews = last?.reason !== reason || now - last.warnedAt >= REMIND_EVERY_MS
    const trouble = isNews ? { reason, warnedAt: now } : last
    this.#volumes.set(volume, { confirmedAt: before?.confirmedAt, trouble })
    if (isNews) this.#warn(pod, error, before?.confirmedAt)
  }

  summary(): LedgerSummary {
    this.#volumes.purgeStale()
    const now = this.#clock.monotonic()
    const failing = new Map<FailureReason, number>()
    let oldestMs = 0
    for (const { confirmedAt, trouble } of this.#volumes.values()) {
      if (trouble !== undefined) failing.set(trouble.reason, (failing.get(trouble.reason) ?? 0) + 1)
      if (confirmedAt !== undefined) oldestMs = Math.max(oldestMs, now - confirmedAt)
    }
    return { volumes: this.#volumes.size, failing, oldestMs }
  }

  /** This process does not know whether a volume was filled by the one before it. */
  #warn(pod: PodReference, error: BridgeError, confirmedAt: number | undefined): void {
    const state =
      confirmedAt === undefined
        ? 'a new pod waits, a running pod keeps its files'
        : 'the pod keeps its files'
    this.#log.warn(
      { ...fieldsOf(pod), [logKey.code]: error.code },
      `the volume of pod ${namePod(pod)} could not be served (${state}): ${error.message}`,
    )
  }
}

function fieldsOf({ namespace, serviceAccount }: PodReference): object {
  return { [logKey.namespace]: namespace, [logKey.serviceAccount]: serviceAccount }
}
