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

/** For people: the short name of a unit, and its name in a sentence. */
const WORDS = [
  { unit: 'd', short: 'days', long: 'day' },
  { unit: 'h', short: 'h', long: 'hour' },
  { unit: 'm', short: 'min', long: 'minute' },
] as const
const SECONDS = { unit: 's', short: 's', long: 'second' } as const

/** A duration for people, in one unit and rounded down: "47 min". */
export function describeDuration(milliseconds: number): string {
  const { count, short } = roundDown(milliseconds)
  return `${String(count)} ${short}`
}

/** The same with minutes after hours, also for days: "3 h 59 min", for a time that someone plans with. */
export function describeHours(milliseconds: number): string {
  if (milliseconds < 2 * UNITS.h) return describeDuration(milliseconds)
  const minutes = Math.floor(milliseconds / UNITS.m)
  return `${String(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`
}

/** How long something remains true, in one unit and rounded down: "59 more minutes". */
export function describeMoreTime(milliseconds: number): string {
  const { count, long } = roundDown(milliseconds)
  return `${count.toLocaleString('en')} more ${long}${count === 1 ? '' : 's'}`
}

/** The same in minutes, as long as there are two: "239 more minutes". */
export function describeMoreMinutes(milliseconds: number): string {
  if (milliseconds < UNITS.h) return describeMoreTime(milliseconds)
  return `${Math.floor(milliseconds / UNITS.m).toLocaleString('en')} more minutes`
}

/** At least two of a unit are needed, because less would be rounded too much. */
function roundDown(milliseconds: number) {
  const words = WORDS.find(({ unit }) => milliseconds >= 2 * UNITS[unit]) ?? SECONDS
  return { ...words, count: Math.max(0, Math.floor(milliseconds / UNITS[words.unit])) }
}
