import * as v from 'valibot'

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/

type Unit = keyof typeof UNITS

/** Milliseconds of `250ms`, `30s`, `5m`, `24h` or `7d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text) ?? []
  return amount === undefined ? undefined : Number(amount) * UNITS[unit as Unit]
}

/** The shortest way to write a duration exactly: 120000 is `2m`. */
export function formatDuration(ms: number): string {
  const units: readonly Unit[] = ['d', 'h', 'm', 's']
  const unit = units.find((name) => ms >= UNITS[name] && ms % UNITS[name] === 0)
  if (unit !== undefined) return `${ms / UNITS[unit]}${unit}`
  return ms === 0 ? '0s' : `${ms}ms`
}

/** A key that takes a duration between two others and gives milliseconds. */
export function duration(meaning: string, min: string, max: string) {
  const lowest = parseDuration(min) ?? 0
  const highest = parseDuration(max) ?? 0
  return v.pipe(
    v.string(explainType),
    v.regex(
      DURATION,
      'must be a duration, not {value}; write a whole number and ms, s, m, h or d: 30s',
    ),
    v.check(
      (text) => (parseDuration(text) ?? lowest) >= lowest,
      `is {value}, below the least: ${min}`,
    ),
    v.check(
      (text) => (parseDuration(text) ?? lowest) <= highest,
      `is {value}, above the most: ${max}`,
    ),
    v.description(`${meaning} From ${min} to ${max}.`),
    v.metadata({ kind: 'duration' }),
    v.transform((text) => parseDuration(text) ?? lowest),
  )
}

function explainType({ input }: v.BaseIssue<unknown>): string {
  if (typeof input !== 'number') return 'must be a duration; write a whole number and a unit: 30s'
  return `is a number without a unit; write for example ${Math.abs(Math.round(input))}s`
}
