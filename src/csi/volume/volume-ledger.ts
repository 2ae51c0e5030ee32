import { LRUCache } from 'lru-cache'
import type { Clock } from '../../time/clock.ts'
import { isOutage, type BridgeError, type ErrorCode } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import { namePod, type PodReference } from '../mount-request.ts'

const MAX_VOLUMES = 10_000
/** Republishes arrive every 60 to 90 s (docs/design.md, "CSI content"), so an idle volume is gone. */
const IDLE_MS = 5 * 60_000
/** How often a continuing failure is logged. */
const REMIND_EVERY_MS = 10 * 60_000

/** Why a volume fails. All outage codes are one reason, because an outage alternates between them. */
export type FailureReason = ErrorCode | 'outage'

interface Volume {
  /** When Vault last confirmed the served content; undefined before the first success. */
  readonly confirmedAt: number | undefined
  readonly trouble: { readonly reason: FailureReason; readonly warnedAt: number } | undefined
}

export interface LedgerSummary {
  /** Volumes with recent Mounts. */
  readonly volumes: number
  /** How many of them failed in their last Mount, by reason. */
  readonly failing: ReadonlyMap<FailureReason, number>
  /** Age of the oldest content that a volume has, in milliseconds. */
  readonly oldestMs: number | undefined
}

/**
 * Tracks volumes, failures of their last Mount, and when Vault last confirmed their content. Kubernetes does not show
 * a failed republish (kubernetes/kubernetes#121271), so metrics and a log line report it.
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
      this.#log.info(fieldsOf(pod), `the volume of pod ${namePod(pod)} works again`)
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
    let oldestMs: number | undefined
    for (const { confirmedAt, trouble } of this.#volumes.values()) {
      if (trouble !== undefined) failing.set(trouble.reason, (failing.get(trouble.reason) ?? 0) + 1)
      if (confirmedAt !== undefined) oldestMs = Math.max(oldestMs ?? 0, now - confirmedAt)
    }
    return { volumes: this.#volumes.size, failing, oldestMs }
  }

  /** Without an earlier success, the volume may still have files from a previous process. */
  #warn(pod: PodReference, error: BridgeError, confirmedAt: number | undefined): void {
    const state =
      confirmedAt === undefined
        ? 'a new pod cannot start yet; a running pod keeps its files'
        : 'the pod keeps its files'
    this.#log.warn(
      { ...fieldsOf(pod), [logKey.code]: error.code },
      `the volume of pod ${namePod(pod)} failed (${state}): ${error.message}`,
    )
  }
}

function fieldsOf({ namespace, serviceAccount }: PodReference): object {
  return { [logKey.namespace]: namespace, [logKey.serviceAccount]: serviceAccount }
}
