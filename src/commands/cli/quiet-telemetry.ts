import { createLogger } from '../../telemetry/log.ts'
import { createKmsMetrics, type KmsMetrics } from '../../telemetry/metrics/roles.ts'
import { systemClock } from '../../time/clock.ts'
import { version } from '../../version.ts'
import type { Telemetry } from './telemetry.ts'

/** For a command that prints its result and ends: no log lines, and metrics that nothing reads. */
export function quietTelemetry(): Omit<Telemetry<KmsMetrics>, 'logSink'> {
  return { clock: systemClock, log: createLogger('silent'), metrics: createKmsMetrics(version) }
}
