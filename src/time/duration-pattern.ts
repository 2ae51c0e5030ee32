import { parseDuration, UNITS } from './duration.ts'

/** Maximum number of digits in an amount (duration.ts, DURATION). */
const MAX_AMOUNT = 999_999_999

/**
 * A regular expression for the durations between two limits, for JSON Schema: it can compare
 * numbers, but not texts with a unit. It has only syntax that Go's regexp (RE2) also has, because Helm uses that.
 */
export function durationPattern(min: string, max?: string): string {
  const lowest = parseDuration(min) ?? 0
  const highest = (max === undefined ? undefined : parseDuration(max)) ?? Infinity
  const amounts = Object.entries(UNITS).flatMap(([unit, ms]) => {
    const from = Math.ceil(lowest / ms)
    const to = Math.min(Math.floor(highest / ms), MAX_AMOUNT)
    return from > to ? [] : `${numberPattern(from, to)}${unit}`
  })
  return `^0*(?:${amounts.join('|')})$`
}

/** Decimal numbers from `from` to `to`, without leading zeros. */
function numberPattern(from: number, to: number): string {
  const [shortest, longest] = [String(from).length, String(to).length]
  if (shortest === longest) return digitsPattern(String(from), String(to))
  const first = digitsPattern(String(from), '9'.repeat(shortest))
  const last = digitsPattern(`1${'0'.repeat(longest - 1)}`, String(to))
  const between = longest - shortest > 1 ? [`[1-9][0-9]{${shortest},${longest - 2}}`] : []
  return `(?:${[first, ...between, last].join('|')})`
}

/** Digits between two texts of the same length. */
function digitsPattern(from: string, to: string): string {
  const rest = from.length - 1
  if (rest < 0) return ''
  const [low, high] = [Number(from[0]), Number(to[0])]
  if (low === high) return `${low}${digitsPattern(from.slice(1), to.slice(1))}`
  const [nines, zeros] = ['9'.repeat(rest), '0'.repeat(rest)]
  const isLowWhole = from.slice(1) === zeros
  const isHighWhole = to.slice(1) === nines
  const parts = [
    isLowWhole ? [] : `${low}${digitsPattern(from.slice(1), nines)}`,
    anyDigits(isLowWhole ? low : low + 1, isHighWhole ? high : high - 1, rest),
    isHighWhole ? [] : `${high}${digitsPattern(zeros, to.slice(1))}`,
  ].flat()
  return parts.length === 1 ? parts.join('') : `(?:${parts.join('|')})`
}

function anyDigits(low: number, high: number, rest: number): string | [] {
  if (low > high) return []
  const first = low === high ? String(low) : `[${low}-${high}]`
  return rest === 0 ? first : `${first}[0-9]{${rest}}`
}
