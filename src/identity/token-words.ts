import { quoted } from '../text/quoted.ts'
import { describeDuration } from '../time/duration.ts'
import type { IdentityToken } from './identity-token.ts'

const MAX_AUDIENCES = 5

/** What a JWT claims, as one phrase for a message. */
export function describeIdentity(claims: IdentityToken['claims'], now: number): string {
  const { issuer, subject, audiences, expiresAt } = claims
  return [
    `the token has ${issuer === undefined ? 'no issuer' : `issuer ${quoted(issuer)}`}`,
    subject === undefined ? 'no subject' : `subject ${quoted(subject)}`,
    quotedAudiences(audiences),
    describeExpiry(expiresAt, now),
  ].join(', ')
}

/** `audience "vault"`, `audiences "a", "b"` or `no audience`. */
export function quotedAudiences(audiences: readonly string[]): string {
  if (audiences.length === 0) return 'no audience'
  const shown = audiences.slice(0, MAX_AUDIENCES).map(quoted)
  const rest = audiences.length - shown.length
  const list = rest > 0 ? [...shown, `${rest} more`] : shown
  return `${audiences.length === 1 ? 'audience' : 'audiences'} ${list.join(', ')}`
}

function describeExpiry(expiresAt: number | undefined, now: number): string {
  if (expiresAt === undefined) return 'no expiry'
  return expiresAt > now
    ? `expires in ${describeDuration(expiresAt - now)}`
    : `expired ${describeDuration(now - expiresAt)} ago`
}
