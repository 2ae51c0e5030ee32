import { MAX_TEXT_LENGTH } from '../mount-request.ts'

/** What the driver adds to the parameters: the tokens of the pod, its names and the volumeAttributes. */
const RESERVED_LENGTH = 64 * 1024
/** Characters that Go's json.Marshal writes with six, although JSON does not need it (encoding/json, HTMLEscape). */
const ESCAPED_BY_GO = /[<>&\u2028\u2029]/g

/** Returns why the driver's request for a class would be too long for the provider, or undefined. */
export function findSizeFault(parameters: Readonly<Record<string, unknown>>): string | undefined {
  const text = JSON.stringify(parameters)
  const escaped = text.match(ESCAPED_BY_GO)?.length ?? 0
  const mostLength = MAX_TEXT_LENGTH - RESERVED_LENGTH
  if (text.length + 5 * escaped <= mostLength) return undefined
  return `have more than ${String(mostLength / 1024)} KiB as JSON, in which < > and & are six characters each`
}
