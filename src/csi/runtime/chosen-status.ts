import { BridgeError } from '../../errors.ts'

/** The field of a batch with which a client chooses the status that Vault answers with if an item fails. */
const FIELD = 'partial_failure_response_code'
const NAME = Buffer.from(`"${FIELD}"`)
/** 204 and 205 have no body, so the results would be lost. */
const ALLOWED = /^(?:2(?!0[45])|4|5)\d\d$/
const [BACKSLASH, COLON] = [0x5c, 0x3a]
const [ZERO, FIVE, SIX, SEVEN, NINE] = [0x30, 0x35, 0x36, 0x37, 0x39]
const [SMALL_A, SMALL_F] = [0x61, 0x66]
const ESCAPE = Buffer.from(String.raw`\u00`)
/** Changes a letter to lower case, and leaves a digit. */
const LOWER_CASE = 0x20
const SPACES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d])
const ENDS: ReadonlySet<number | undefined> = new Set([...SPACES, 0x2c, 0x7d])

/**
 * Refuses a body that chooses a status which is not one of a result: Vault closes the connection for a status below 102
 * (net/http panics), and a redirect or an empty response looks like an outage, so the request would be repeated. Reads bytes,
 * because a body that becomes text cannot be zeroed. Throws REQUEST_INVALID.
 */
export function requireUsableStatus(body: Buffer): void {
  if (hasEscapedName(body)) {
    throw new BridgeError(
      'REQUEST_INVALID',
      'the JSON contains letters that are written as escapes (\\u0061); write them as they are',
    )
  }
  for (let at = body.indexOf(NAME); at >= 0; at = body.indexOf(NAME, at + NAME.length)) {
    const colon = skipSpaces(body, at + NAME.length)
    if (body[colon] !== COLON) continue
    const start = skipSpaces(body, colon + 1)
    const isWhole = ENDS.has(body[start + 3])
    if (isWhole && ALLOWED.test(body.toString('latin1', start, start + 3))) continue
    throw new BridgeError(
      'REQUEST_INVALID',
      `${FIELD} must be a number: 200 to 299 except 204 and 205, or 400 to 599`,
    )
  }
}

/** Whether a character of the field's name is written as an escape, which no JSON encoder does. */
function hasEscapedName(body: Buffer): boolean {
  for (let at = body.indexOf(ESCAPE); at >= 0; at = body.indexOf(ESCAPE, at + ESCAPE.length))
    if (isOfName(body, at + ESCAPE.length) && isEscape(body, at)) return true
  return false
}

/** Whether a backslash begins an escape, and is not the second one of an escaped backslash. */
function isEscape(body: Buffer, at: number): boolean {
  let before = at
  while (body[before - 1] === BACKSLASH) before -= 1
  return (at - before) % 2 === 0
}

/** Whether two hexadecimal digits mean a small letter or an underscore: 5f, 61 to 7a. A body may contain 300,000 of them. */
function isOfName(body: Buffer, at: number): boolean {
  const high = body[at]
  const low = (body[at + 1] ?? 0) | LOWER_CASE
  if (high === FIVE) return low === SMALL_F
  if (high === SIX) return low !== ZERO
  return high === SEVEN && (low <= NINE || low === SMALL_A)
}

function skipSpaces(bytes: Buffer, from: number): number {
  let at = from
  while (SPACES.has(bytes[at])) at += 1
  return at
}
