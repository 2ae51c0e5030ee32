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

/** How messages name the token and the settings that their reader can change. */
export interface TokenSettingNames {
  /** The origin of the token: "vault.auth.tokenFile", "the token of pod shop/web". */
  readonly token: string
  readonly audience: string
  readonly issuer: string
  /** What keeps the token fresh. */
  readonly refresher: string
}

/** The settings of the KMS plugin's own token. */
export const TOKEN_FILE_SETTINGS: TokenSettingNames = {
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
  names: TokenSettingNames = TOKEN_FILE_SETTINGS,
): string | undefined {
  return (
    expired(claims, now, names) ??
    notYetValid(claims, now, names) ??
    findMismatch(claims, expectations, names)
  )
}

/** Where a token contradicts the configuration; undefined if it does not. */
export function findMismatch(
  claims: ServiceAccountClaims,
  expectations: TokenExpectations,
  names: TokenSettingNames,
): string | undefined {
  return wrongIssuer(claims, expectations, names) ?? wrongAudience(claims, expectations, names)
}

function expired({ expiresAt }: ServiceAccountClaims, now: number, names: TokenSettingNames) {
  if (expiresAt === undefined || now < expiresAt + CLOCK_SKEW_MS) return undefined
  const since = `${isoTime(expiresAt)} (${describeDuration(now - expiresAt)} ago)`
  return `${names.token}: the token expired at ${since}: ${names.refresher} no longer refreshes it, or this host's clock is wrong`
}

function notYetValid({ notBefore }: ServiceAccountClaims, now: number, names: TokenSettingNames) {
  if (notBefore === undefined || now >= notBefore - CLOCK_SKEW_MS) return undefined
  const from = `${isoTime(notBefore)} (in ${describeDuration(notBefore - now)})`
  return `${names.token}: the token is valid only from ${from}: this host's clock is behind that of the token's issuer`
}

function wrongIssuer(
  claims: ServiceAccountClaims,
  { issuer }: TokenExpectations,
  names: TokenSettingNames,
) {
  if (issuer === undefined || claims.issuer === undefined || claims.issuer === issuer)
    return undefined
  return `${names.token}: the token has issuer ${quoted(claims.issuer)}, but ${names.issuer} is ${quoted(issuer)}: is it the token of another cluster?`
}

function wrongAudience(
  claims: ServiceAccountClaims,
  { audience }: TokenExpectations,
  names: TokenSettingNames,
) {
  if (audience === undefined || claims.audiences.includes(audience)) return undefined
  return `${names.token}: the token has ${quotedAudiences(claims.audiences)}, but ${names.audience} is ${quoted(audience)}: request that audience where the token is issued, or correct ${names.audience}`
}

/** A claim can be any number, and Date rejects some of them. */
function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? `${milliseconds / 1000} s since 1970` : date.toISOString()
}
