import * as v from 'valibot'

import { parseDuration } from '../../time/duration.ts'
import { durationPattern } from '../../time/duration-pattern.ts'

/** A key whose value is a duration within two limits. It is parsed into milliseconds. */
export function duration(meaning: string, min: string, max: string) {
  const lowest = parseDuration(min) ?? 0
  const explain = ({ input }: v.BaseIssue<unknown>): string => {
    const value = typeof input === 'string' ? parseDuration(input) : undefined
    if (value === undefined) return NOT_A_DURATION
    return value < lowest
      ? `is {value}, below the minimum ${min}`
      : `is {value}, above the maximum ${max}`
  }
  return v.pipe(
    v.string(explainType),
    // The limits are in the pattern, so that they are also in the JSON Schema.
    v.regex(new RegExp(durationPattern(min, max)), explain),
    v.description(`${meaning} From ${min} to ${max}.`),
    v.metadata({ kind: 'duration' }),
    v.transform((text) => parseDuration(text) ?? lowest),
  )
}

const NOT_A_DURATION =
  'must be a duration, not {value}; write a whole number with the unit ms, s, m, h or d, such as 30s'

function explainType({ input }: v.BaseIssue<unknown>): string {
  if (typeof input !== 'number')
    return 'must be a duration; write a whole number with a unit, such as 30s'
  return `is a number without a unit; add one, such as ${Math.abs(Math.round(input))}s`
}
