import type { IdentityToken } from '../vault/logins/login.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** The claims are unverified text from outside: a message shows only so much of each. */
const MAX_SHOWN = 200
const MAX_AUDIENCES = 5

/** What a JWT says of itself, in one phrase for a message: whose it is, for whom, until when. */
export function describeIdentity(claims: IdentityToken['claims'], now: number): string {
  return [
    `the service-account token says issuer ${quoted(claims.issuer)}`,
    `subject ${quoted(claims.subject)}`,
    quotedAudiences(claims.audiences),
    describeExpiry(claims.expiresAt, now),
  ].join(', ')
}

/** "audience "vault"", "audiences "a", "b"" or "no audience". */
export function quotedAudiences(audiences: readonly string[]): string {
  if (audiences.length === 0) return 'no audience'
  const shown = audiences.slice(0, MAX_AUDIENCES).map(quoted)
  const rest = audiences.length - shown.length
  const list = rest > 0 ? [...shown, `${rest} more`] : shown
  return `${audiences.length === 1 ? 'audience' : 'audiences'} ${list.join(', ')}`
}

/** Text from outside, in quotes and on one line. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)
}

/** "47 min": one unit, rounded down, as a person says it. */
export function inWords(milliseconds: number): string {
  if (milliseconds >= 2 * DAY) return `${Math.floor(milliseconds / DAY)} days`
  if (milliseconds >= 2 * HOUR) return `${Math.floor(milliseconds / HOUR)} h`
  if (milliseconds >= 2 * MINUTE) return `${Math.floor(milliseconds / MINUTE)} min`
  return `${Math.max(0, Math.floor(milliseconds / 1000))} s`
}

function describeExpiry(expiresAt: number, now: number): string {
  return expiresAt > now
    ? `expires in ${inWords(expiresAt - now)}`
    : `expired ${inWords(now - expiresAt)} ago`
}
