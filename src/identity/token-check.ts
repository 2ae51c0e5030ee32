import { BridgeError } from '../errors.ts'
import { quotedAudiences } from './token-words.ts'
import { describeDuration } from '../time/duration.ts'
import { quoted } from '../text/quoted.ts'
import type { ServiceAccountClaims } from './service-account-token.ts'

/** Vault's jwt method and kube-apiserver both allow one minute of clock skew. */
const CLOCK_SKEW_MS = 60_000

/** What a token must say to be of use; what is absent is not looked at. */
export interface TokenExpectations {
  readonly audience?: string
  readonly issuer?: string
}

/** How messages name the places that their reader can change. */
export interface TokenPlaces {
  /** Where the token comes from: "vault.auth.tokenFile", "the token of pod shop/web". */
  readonly token: string
  readonly audience: string
  readonly issuer: string
  /** Who keeps the token fresh. */
  readonly refresher: string
}

/** The places of the KMS plugin's own token (design §6). */
export const TOKEN_FILE_PLACES: TokenPlaces = {
  token: 'vault.auth.tokenFile',
  audience: 'vault.auth.audience',
  issuer: 'vault.auth.issuer',
  refresher: 'the kubelet or the installer',
}

/**
 * Throws IDENTITY_INVALID when a login with this token cannot succeed, and says why in words. It looks at
 * unverified claims: it spares a person Vault's "permission denied", and protects nothing by itself.
 */
export function checkServiceAccountToken(
  claims: ServiceAccountClaims,
  expectations: TokenExpectations,
  now: number,
  places: TokenPlaces = TOKEN_FILE_PLACES,
): void {
  const problem =
    expired(claims, now, places) ??
    notYetValid(claims, now, places) ??
    wrongIssuer(claims, expectations, places) ??
    wrongAudience(claims, expectations, places)
  if (problem !== undefined) throw new BridgeError('IDENTITY_INVALID', problem)
}

function expired(claims: ServiceAccountClaims, now: number, places: TokenPlaces) {
  if (now < claims.expiresAt + CLOCK_SKEW_MS) return undefined
  const since = `${isoTime(claims.expiresAt)} (${describeDuration(now - claims.expiresAt)} ago)`
  return `${places.token}: the service-account token expired at ${since}; ${places.refresher} no longer refreshes it, or this host's clock is wrong`
}

function notYetValid(claims: ServiceAccountClaims, now: number, places: TokenPlaces) {
  const { notBefore } = claims
  if (notBefore === undefined || now >= notBefore - CLOCK_SKEW_MS) return undefined
  const from = `${isoTime(notBefore)} (in ${describeDuration(notBefore - now)})`
  return `${places.token}: the service-account token is valid only from ${from}; this host's clock is behind that of the API server`
}

function wrongIssuer(
  claims: ServiceAccountClaims,
  { issuer }: TokenExpectations,
  places: TokenPlaces,
) {
  if (issuer === undefined || claims.issuer === issuer) return undefined
  return `${places.token}: the service-account token is of issuer ${quoted(claims.issuer)}, but ${places.issuer} is ${quoted(issuer)}; is it the token of another cluster?`
}

function wrongAudience(
  claims: ServiceAccountClaims,
  { audience }: TokenExpectations,
  places: TokenPlaces,
) {
  if (audience === undefined || claims.audiences.includes(audience)) return undefined
  return `${places.token}: the service-account token has ${quotedAudiences(claims.audiences)}, but ${places.audience} is ${quoted(audience)}; ask for that audience where the token is made, or correct ${places.audience}`
}

/** A claim may hold any number, and Date refuses some of them. */
function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? `${milliseconds / 1000} s since 1970` : date.toISOString()
}
