import { UNITS } from '../time/duration.ts'

const SECOND = ['second', UNITS.s] as const
const NAMES = [['day', UNITS.d], ['hour', UNITS.h], ['minute', UNITS.m], SECOND] as const

/** How long something remains true, in one unit and rounded down: "59 more minutes". */
export function describeMoreTime(milliseconds: number): string {
  const [name, length] = NAMES.find((each) => milliseconds >= 2 * each[1]) ?? SECOND
  const count = Math.max(0, Math.floor(milliseconds / length))
  return `${String(count)} more ${name}${count === 1 ? '' : 's'}`
}
