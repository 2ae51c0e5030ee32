import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'

export interface CommandLine {
  readonly minutes: number
  readonly seed: string
  readonly callsPerSecond: number
  readonly json: boolean
}

const MIN_MINUTES = 2
const MAX_MINUTES = 7 * 24 * 60

export const USAGE = `usage: npm run soak -- [--minutes N] [--seed TEXT] [--rate CALLS_PER_SECOND] [--json]`

/** Reads the command line. Throws if it is wrong. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '20' },
      seed: { type: 'string', default: randomBytes(4).toString('hex') },
      rate: { type: 'string', default: '60' },
      json: { type: 'boolean', default: false },
    },
  })
  const { seed, json } = values
  const minutes = numberOf('--minutes', values.minutes, MIN_MINUTES, MAX_MINUTES)
  const callsPerSecond = numberOf('--rate', values.rate, 1, 1_000)
  if (seed === '') throw new Error('--seed is empty')
  return { minutes, seed, callsPerSecond, json }
}

function numberOf(option: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (text !== '' && value >= min && value <= max) return value
  throw new Error(`${option} is not a number from ${String(min)} to ${String(max)}: ${text}`)
}
