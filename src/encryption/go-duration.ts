const UNIT_NANOSECONDS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const PART = /(\d*)(?:\.(\d*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g
const WHOLE = /^[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/
const MAX_NANOSECONDS = 2n ** 63n - 1n
/** More digits than any duration in range has. Long numbers take more than linear time. */
const MAX_DIGITS = 32

/**
 * Milliseconds of a Go duration (`1m30s`, `1.5h`; Go: time.ParseDuration), in whole nanoseconds; undefined for anything
 * else, also for a duration over 292 years.
 */
export function parseGoDuration(text: string): number | undefined {
  if (!WHOLE.test(text)) return undefined
  const sum = [...text.matchAll(PART)].reduce(
    (total, [, whole = '', fraction = '', unit = 's']) =>
      total + nanoseconds(whole, fraction, UNIT_NANOSECONDS[unit] ?? 0n),
    0n,
  )
  const isNegative = text.startsWith('-')
  // The range of 64 bits has one more negative number.
  if (sum > MAX_NANOSECONDS + (isNegative ? 1n : 0n)) return undefined
  const milliseconds = Number(sum) / 1e6
  return isNegative ? -milliseconds : milliseconds
}

function nanoseconds(whole: string, fraction: string, unit: bigint): bigint {
  const digits = whole.replace(/^0+/, '').slice(0, MAX_DIGITS)
  const decimals = fraction.slice(0, MAX_DIGITS)
  const ofFraction = BigInt(`0${decimals}`) * unit
  return BigInt(`0${digits}`) * unit + ofFraction / 10n ** BigInt(decimals.length)
}
