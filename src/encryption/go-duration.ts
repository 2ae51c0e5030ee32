const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}
const PART = /(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g
const WHOLE = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/

/** Milliseconds of a Go duration (`1m30s`, `1.5h`; Go: time.ParseDuration); undefined for anything else. */
export function parseGoDuration(text: string): number | undefined {
  if (!WHOLE.test(text)) return undefined
  const sum = [...text.matchAll(PART)].reduce(
    (total, [, amount = '0', unit = 's']) => total + Number(amount) * (UNITS[unit] ?? 0),
    0,
  )
  return text.startsWith('-') ? -sum : sum
}
