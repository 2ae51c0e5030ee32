type WithRawJson = typeof JSON & {
  readonly rawJSON: (text: string) => unknown
  readonly isRawJSON: (value: unknown) => boolean
}
/** Not in the types of this TypeScript release (https://github.com/tc39/proposal-json-parse-with-source). */
const json = JSON as WithRawJson

/** A number as JSON.stringify writes it: with the digits of the text, which a JavaScript number may not have. */
export function rawJson(text: string): unknown {
  return json.rawJSON(text)
}

export function isRawJson(value: unknown): boolean {
  return json.isRawJSON(value)
}
