import { systemClock, type Clock } from '../../time/clock.ts'
import type { ProviderConfig } from '../../config/config.ts'
import { createLogger, type Logger } from '../../telemetry/log.ts'
import { createMetrics, type Metrics } from '../../telemetry/metrics.ts'
import { version } from '../../version.ts'

/** What every part of a server is watched with. */
export interface Telemetry {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export function createTelemetry(config: ProviderConfig): Telemetry {
  return {
    clock: systemClock,
    log: createLogger(config.log.level),
    metrics: createMetrics(version),
  }
}
