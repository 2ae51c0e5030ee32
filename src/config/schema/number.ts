import * as v from 'valibot'

/** A key whose value is a whole number within two limits. */
export function wholeNumber(meaning: string, min: number, max: number) {
  return v.pipe(
    v.number(),
    v.integer('must be a whole number, not {value}'),
    v.minValue(min, `is {value}, below the minimum ${min}`),
    v.maxValue(max, `is {value}, above the maximum ${max}`),
    v.description(`${meaning} From ${min} to ${max}.`),
    v.metadata({ kind: 'number' }),
  )
}

/** A key whose value is `true` or `false`. */
export function toggle(meaning: string) {
  return v.pipe(v.boolean(), v.description(meaning), v.metadata({ kind: 'true or false' }))
}
