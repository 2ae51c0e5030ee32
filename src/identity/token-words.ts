import { quoted } from '../text/quoted.ts'
import { describeDuration } from '../time/duration.ts'
import type { IdentityToken } from './identity-token.ts'

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

function describeExpiry(expiresAt: number, now: number): string {
  return expiresAt > now
    ? `expires in ${describeDuration(expiresAt - now)}`
    : `expired ${describeDuration(now - expiresAt)} ago`
}
