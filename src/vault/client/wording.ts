import type { VaultRequest } from './request.ts'

/** Longest text of Vault's that a message repeats, in characters. */
const MAX_LENGTH = 400
/**
 * A longer text is not repeated at all, because a part of it could end within a secret. Vault's own errors are shorter, but a
 * pod can make its words a part of one.
 */
const MAX_READ_LENGTH = 4096
/** Further texts of one response are not repeated. */
const MAX_TEXTS = 16
/** Shorter strings of a body are names and numbers; to redact them would garble ordinary words. */
const MIN_SECRET_LENGTH = 9
/** What is a secret regardless of who sent it: a ciphertext of Transit, a token of Vault or OpenBao, a JWT. */
const SECRET_FORMS =
  /vault:v\d+:[A-Za-z0-9+/=]+|\b(?:hv[sbr]|[sbr])\.(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{24,}|\beyJ[A-Za-z0-9_-]{12,}[A-Za-z0-9._-]*/g
/** A login's role is not secret, and "role x could not be found" does not help without it. */
const NEVER_SECRET = new Set(['role'])

/**
 * Vault's own words on one line, of bounded length and without control characters. Parts of the request's token and body
 * that a server repeats become "[secret]", and so does what has the form of a secret of another request.
 */
export function cleanWords(words: readonly string[], request: VaultRequest): string {
  const shown = words
    .slice(0, MAX_TEXTS)
    .map((text) =>
      text.length > MAX_READ_LENGTH
        ? `an error of ${text.length.toLocaleString('en')} characters`
        : flatten(hideSecrets(text, request)),
    )
  return shorten(shown.filter((text) => text !== '').join('; '))
}

/** Removes the decoration of hashicorp/go-multierror: "1 error occurred:\n\t* permission denied\n\n". */
function flatten(text: string): string {
  const lines = text.split('\n').map((line) => line.trim())
  const flat = lines
    .map((line) => (line.startsWith('* ') ? `; ${line.slice(2)}` : ` ${line}`))
    .join('')
    .replaceAll(/(?<!\d)\d+ errors? occurred:\s*/g, '')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .replaceAll(/ {2,}/g, ' ')
    .replace(/^[\s;*]+/, '')
  return flat.slice(0, lengthWithoutEnd(flat))
}

/** A regular expression for the end of a text would be tried at each of its characters. */
function lengthWithoutEnd(text: string): number {
  let length = text.length
  while (length > 0 && /[\s.;]/.test(text.charAt(length - 1))) length -= 1
  return length
}

function shorten(text: string): string {
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 3)}...`
}

function hideSecrets(text: string, request: VaultRequest): string {
  const secrets = stringsOf(request.body, Buffer.from(text))
  if (request.token !== undefined) secrets.push(request.token.reveal())
  const hidden = secrets
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    .reduce((left, secret) => left.replaceAll(secret, '[secret]'), text)
  return hidden.replaceAll(SECRET_FORMS, '[secret]')
}

/** The strings in a request body. A field of bytes becomes one only if the text contains it. */
function stringsOf(value: unknown, text: Buffer): string[] {
  if (Buffer.isBuffer(value))
    return value.length >= MIN_SECRET_LENGTH && text.includes(value) ? [value.toString()] : []
  if (typeof value === 'string') return value.length >= MIN_SECRET_LENGTH ? [value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value)
    .filter(([name]) => !NEVER_SECRET.has(name))
    .flatMap(([, inner]) => stringsOf(inner, text))
}
