export const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
/** The syntax of a duration in configuration and options. */
const DURATION = /^0*(\d{1,9})(ms|s|m|h|d)$/

type Unit = keyof typeof UNITS

/** Milliseconds of `250ms`, `30s`, `5m`, `24h` or `7d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text) ?? []
  return amount === undefined ? undefined : Number(amount) * UNITS[unit as Unit]
}

/** The shortest exact form of a duration: 120000 is `2m`. */
export function formatDuration(ms: number): string {
  const units: readonly Unit[] = ['d', 'h', 'm', 's']
  const unit = units.find((name) => ms >= UNITS[name] && ms % UNITS[name] === 0)
  if (unit !== undefined) return `${ms / UNITS[unit]}${unit}`
  return ms === 0 ? '0s' : `${ms}ms`
}

const MINUTE = UNITS.m
const HOUR = UNITS.h
const DAY = UNITS.d

/** A duration for people, in one unit and rounded down: "47 min". */
export function describeDuration(milliseconds: number): string {
  if (milliseconds >= 2 * DAY) return `${Math.floor(milliseconds / DAY)} days`
  if (milliseconds >= 2 * HOUR) return `${Math.floor(milliseconds / HOUR)} h`
  if (milliseconds >= 2 * MINUTE) return `${Math.floor(milliseconds / MINUTE)} min`
  return `${Math.max(0, Math.floor(milliseconds / 1000))} s`
}
