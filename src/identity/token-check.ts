import { quotedAudiences } from './token-words.ts'
import { describeDuration } from '../time/duration.ts'
import { quoted } from '../text/quoted.ts'
import type { ServiceAccountClaims } from './service-account-token.ts'

/** Vault's jwt method and kube-apiserver both allow one minute of clock skew by default. */
const CLOCK_SKEW_MS = 60_000

/** What the configuration says about the token; an absent setting is not compared. */
export interface TokenExpectations {
  readonly audience?: string | undefined
  readonly issuer?: string | undefined
}

/** How messages name the places that their reader can change. */
export interface TokenPlaces {
  /** The origin of the token: "vault.auth.tokenFile", "the token of pod shop/web". */
  readonly token: string
  readonly audience: string
  readonly issuer: string
  /** What keeps the token fresh. */
  readonly refresher: string
}

/** The places of the KMS plugin's own token. */
export const TOKEN_FILE_PLACES: TokenPlaces = {
  token: 'vault.auth.tokenFile',
  audience: 'vault.auth.audience',
  issuer: 'vault.auth.issuer',
  refresher: 'the kubelet or the installer',
}

/**
 * Why Vault may refuse this token, as far as its unverified claims show; undefined if nothing is wrong. It explains
 * a refusal and must not cause one: only Vault knows its own clock and the leeway of its role.
 */
export function findTokenProblem(
  claims: ServiceAccountClaims,
  expectations: TokenExpectations,
  now: number,
  places: TokenPlaces = TOKEN_FILE_PLACES,
): string | undefined {
  return (
    expired(claims, now, places) ??
    notYetValid(claims, now, places) ??
    findMismatch(claims, expectations, places)
  )
}

/** Where a token contradicts the configuration; undefined if it does not. */
export function findMismatch(
  claims: ServiceAccountClaims,
  expectations: TokenExpectations,
  places: TokenPlaces,
): string | undefined {
  return wrongIssuer(claims, expectations, places) ?? wrongAudience(claims, expectations, places)
}

function expired({ expiresAt }: ServiceAccountClaims, now: number, places: TokenPlaces) {
  if (expiresAt === undefined || now < expiresAt + CLOCK_SKEW_MS) return undefined
  const since = `${isoTime(expiresAt)} (${describeDuration(now - expiresAt)} ago)`
  return `${places.token}: the token expired at ${since}: ${places.refresher} no longer refreshes it, or this host's clock is wrong`
}

function notYetValid({ notBefore }: ServiceAccountClaims, now: number, places: TokenPlaces) {
  if (notBefore === undefined || now >= notBefore - CLOCK_SKEW_MS) return undefined
  const from = `${isoTime(notBefore)} (in ${describeDuration(notBefore - now)})`
  return `${places.token}: the token is valid only from ${from}: this host's clock is behind that of the token's issuer`
}

function wrongIssuer(
  claims: ServiceAccountClaims,
  { issuer }: TokenExpectations,
  places: TokenPlaces,
) {
  if (issuer === undefined || claims.issuer === undefined || claims.issuer === issuer)
    return undefined
  return `${places.token}: the token has issuer ${quoted(claims.issuer)}, but ${places.issuer} is ${quoted(issuer)}: is it the token of another cluster?`
}

function wrongAudience(
  claims: ServiceAccountClaims,
  { audience }: TokenExpectations,
  places: TokenPlaces,
) {
  if (audience === undefined || claims.audiences.includes(audience)) return undefined
  return `${places.token}: the token has ${quotedAudiences(claims.audiences)}, but ${places.audience} is ${quoted(audience)}: request that audience where the token is issued, or correct ${places.audience}`
}

/** A claim can be any number, and Date rejects some of them. */
function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? `${milliseconds / 1000} s since 1970` : date.toISOString()
}
