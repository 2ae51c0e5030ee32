import * as v from 'valibot'

import { DURATION, parseDuration } from '../../time/duration.ts'

/** A key whose value is a duration within two limits. It is parsed into milliseconds. */
export function duration(meaning: string, min: string, max: string) {
  const lowest = parseDuration(min) ?? 0
  const highest = parseDuration(max) ?? 0
  return v.pipe(
    v.string(explainType),
    v.regex(
      DURATION,
      'must be a duration, not {value}; write a whole number with the unit ms, s, m, h or d, such as 30s',
    ),
    v.check(
      (text) => (parseDuration(text) ?? lowest) >= lowest,
      `is {value}, below the minimum ${min}`,
    ),
    v.check(
      (text) => (parseDuration(text) ?? lowest) <= highest,
      `is {value}, above the maximum ${max}`,
    ),
    v.description(`${meaning} From ${min} to ${max}.`),
    v.metadata({ kind: 'duration' }),
    v.transform((text) => parseDuration(text) ?? lowest),
  )
}

function explainType({ input }: v.BaseIssue<unknown>): string {
  if (typeof input !== 'number')
    return 'must be a duration; write a whole number with a unit, such as 30s'
  return `is a number without a unit; add one, such as ${Math.abs(Math.round(input))}s`
}
