import { pino } from 'pino'
import { describeError, type Logger } from '../../src/telemetry/log.ts'

/** A line of the log as a test looks at it. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** A logger that keeps its lines. */
export function memoryLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = []
  const log = pino(
    {
      base: null,
      timestamp: false,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    { write: (line: string) => lines.push(JSON.parse(line) as LogLine) },
  )
  return { log, lines }
}
