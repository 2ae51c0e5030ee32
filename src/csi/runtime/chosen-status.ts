import { BridgeError } from '../../errors.ts'

/** The field of a batch with which a client chooses the status that Vault answers with if an item fails. */
const FIELD = 'partial_failure_response_code'
const NAME = Buffer.from(`"${FIELD}"`)
/** 204 and 205 have no body, so the results would be lost. */
const ALLOWED = /^(?:2(?!0[45])|4|5)\d\d$/
const [BACKSLASH, COLON, SMALL_U, ZERO] = [0x5c, 0x3a, 0x75, 0x30]
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
  if (!body.includes('\\u00')) return false
  let at = 0
  while (at < body.length) {
    const isEscape = body[at] === BACKSLASH
    if (isEscape && body[at + 1] === SMALL_U && isOfName(body.subarray(at + 2, at + 6))) return true
    at += isEscape ? 2 : 1
  }
  return false
}

/** Whether four hexadecimal digits mean a small letter or an underscore. */
function isOfName([first, second, third = 0, fourth = 0]: Buffer): boolean {
  if (first !== ZERO || second !== ZERO) return false
  const code = Number.parseInt(String.fromCharCode(third, fourth), 16)
  return code === 0x5f || (code >= 0x61 && code <= 0x7a)
}

function skipSpaces(bytes: Buffer, from: number): number {
  let at = from
  while (SPACES.has(bytes[at])) at += 1
  return at
}
