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
const MAX_RATE = 1_000

export const USAGE = `usage: npm run soak -- [--minutes N] [--seed TEXT] [--rate CALLS_PER_SECOND] [--json]

  --minutes N              how long, from ${String(MIN_MINUTES)} to ${String(MAX_MINUTES)}; default: 20
  --seed TEXT              the same text repeats the same faults; default: a random one, which is printed
  --rate CALLS_PER_SECOND  calls of all programs together, from 1 to ${String(MAX_RATE)}; default: 60
  --json                   print the result as JSON

Exit codes: 0 every check passed, 1 one did not or an error, 2 wrong usage.
`

/** Reads the command line; "help" if it asks for the usage. Throws if it is wrong. */
export function parseCommandLine(args: readonly string[]): CommandLine | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      minutes: { type: 'string', default: '20' },
      seed: { type: 'string', default: randomBytes(4).toString('hex') },
      rate: { type: 'string', default: '60' },
      json: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const { seed, json } = values
  const minutes = numberOf('--minutes', values.minutes, MIN_MINUTES, MAX_MINUTES)
  const callsPerSecond = numberOf('--rate', values.rate, 1, MAX_RATE)
  if (seed === '') throw new Error('--seed is empty')
  return { minutes, seed, callsPerSecond, json }
}

function numberOf(option: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (text !== '' && value >= min && value <= max) return value
  throw new Error(`${option} is not a number from ${String(min)} to ${String(max)}: ${text}`)
}
