import { systemClock, type Clock } from '../../time/clock.ts'
import type { LogLevel } from '../../config/log-level.ts'
import { createLogger, type Logger } from '../../telemetry/log.ts'
import { LogSink } from '../../telemetry/log-sink.ts'
import type { ProgramMetrics } from '../../telemetry/metrics/roles.ts'
import { version } from '../../version.ts'

/** The log, the metrics and the clock that every part of a server uses. */
export interface Telemetry<Metrics = ProgramMetrics> {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly logSink: LogSink
}

/** @param createMetrics of the server's role */
export function createTelemetry<Metrics extends ProgramMetrics>(
  level: LogLevel,
  createMetrics: (version: string) => Metrics,
): Telemetry<Metrics> {
  const metrics = createMetrics(version)
  const logSink = new LogSink({ onDropped: (lines) => metrics.logLinesDropped.inc(lines) })
  return { clock: systemClock, log: createLogger(level, logSink), metrics, logSink }
}
