import { parseArgs } from 'node:util'

export interface CommandLine {
  readonly minutes: number
  readonly seed: number
  /** Only this target. */
  readonly target: string | undefined
  /** The number of the first input. */
  readonly first: number
  /** Inputs per target; Infinity: until the time is over. */
  readonly count: number
}

export const USAGE = `usage: npm run fuzz -- [--minutes N] [--seed N] [--target NAME] [--first INDEX] [--count N]

  --minutes N    how long, for all targets together; default: 1
  --seed N       the same number repeats the same inputs; default: a random one, which is printed
  --target NAME  attack only this target
  --first INDEX  start with the input of this number; default: 0
  --count N      at most so many inputs for each target; default: until the time is over

Exit codes: 0 nothing was found, 1 something was, no input was sent, or an error, 2 wrong usage.
`

/** Reads the command line; "help" if it asks for the usage. Throws if it is wrong. */
export function parseCommandLine(args: readonly string[]): CommandLine | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      target: { type: 'string' },
      first: { type: 'string', default: '0' },
      count: { type: 'string' },
    },
  })
  if (values.help) return 'help'
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) throw new Error(`--minutes is not a number above 0: ${values.minutes}`)
  return {
    minutes,
    target: values.target,
    seed: readWhole('--seed', values.seed, 0),
    first: readWhole('--first', values.first, 0),
    count: values.count === undefined ? Infinity : readWhole('--count', values.count, 1),
  }
}

function readWhole(option: string, text: string, min: number): number {
  const value = Number(text)
  if (text !== '' && Number.isSafeInteger(value) && value >= min) return value
  throw new Error(`${option} is not a whole number of at least ${String(min)}: ${text}`)
}
