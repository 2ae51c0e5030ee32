import * as v from 'valibot'

/** A key that takes a whole number between two others. */
export function wholeNumber(meaning: string, min: number, max: number) {
  return v.pipe(
    v.number(),
    v.integer('must be a whole number, not {value}'),
    v.minValue(min, `is {value}, below the least: ${min}`),
    v.maxValue(max, `is {value}, above the most: ${max}`),
    v.description(`${meaning} From ${min} to ${max}.`),
    v.metadata({ kind: 'number' }),
  )
}

/** A key that takes `true` or `false`. */
export function toggle(meaning: string) {
  return v.pipe(v.boolean(), v.description(meaning), v.metadata({ kind: 'true or false' }))
}
