import type { Clock } from '../time/clock.ts'
import type { AuthConfig, TokenFileLogin } from '../config/config.ts'
import { describeDuration, formatDuration } from '../time/duration.ts'
import type { ServiceAccountClaims } from '../identity/service-account-token.ts'
import { findTokenProblem } from '../identity/token-check.ts'
import { readServiceAccountToken } from '../identity/token-file.ts'
import { describeIdentity } from '../identity/token-words.ts'
import { fail, ok, warn, wordsOf, type Finding } from './finding.ts'
import { checkSecretFile } from './host-file.ts'
import { checkPathRights } from './path-rights.ts'

/** The kubelet replaces a token at 80 % of its lifetime, or after a day (pkg/kubelet/token/token_manager.go). */
const REFRESHED_AT = 0.8

export interface IdentityCheck {
  readonly auth: AuthConfig
  /** Longest outage of the control plane after which a token must still be valid. */
  readonly surviveMs: number
  readonly clock: Clock
  /** User ids to whom the files may belong, beside root. */
  readonly owners: readonly number[]
}

/** What the plugin logs in with: the files, and what a token claims. */
export async function checkIdentity(check: IdentityCheck): Promise<readonly Finding[]> {
  const { auth } = check
  switch (auth.method) {
    case 'jwt':
    case 'kubernetes':
      return [...(await checkFiles([auth.tokenFile], check)), ...(await checkToken(check, auth))]
    case 'token':
      return checkFiles([auth.tokenFile], check)
    case 'approle':
      return checkFiles([auth.roleIdFile, auth.secretIdFile], check)
    case 'cert':
      // The client certificate is checked for every method.
      return []
  }
}

async function checkFiles(
  paths: readonly string[],
  { owners }: IdentityCheck,
): Promise<readonly Finding[]> {
  const found = await Promise.all(
    paths.map(async (path) => [
      await checkSecretFile('login file', path),
      ...(await checkPathRights('login file', path, owners)),
    ]),
  )
  return found.flat()
}

async function checkToken(
  { surviveMs, clock }: IdentityCheck,
  auth: TokenFileLogin,
): Promise<readonly Finding[]> {
  try {
    const { claims } = await readServiceAccountToken(auth.tokenFile)
    const now = clock.now()
    const problem = findTokenProblem(claims, auth, now)
    return [
      problem === undefined
        ? ok('token', describeIdentity(claims, now))
        : warn('token', problem, 'Vault decides whether it accepts the token: see "login"'),
      checkLifetime(claims, surviveMs, now),
      ...checkAge(claims, now),
    ]
  } catch (thrown) {
    return [fail('token', wordsOf(thrown))]
  }
}

function checkLifetime(
  { expiresAt }: ServiceAccountClaims,
  surviveMs: number,
  now: number,
): Finding {
  if (expiresAt === undefined) {
    const fix = 'use a projected token or an SVID, which expires and is replaced'
    return warn('token lifetime', 'the token never expires', fix)
  }
  const left = expiresAt - now
  const why =
    left > 0
      ? `expires in ${describeDuration(left)}`
      : `expired ${describeDuration(-left)} ago by the clock of this host`
  if (left >= surviveMs) return ok('token lifetime', why)
  return fail(
    'token lifetime',
    `${why}; it must last ${formatDuration(surviveMs)} (--survive), since no new token is issued while the control plane is down`,
    'request a longer lifetime: kubectl create token --duration, or expirationSeconds',
  )
}

/** An old token that should have been replaced shows that nothing refreshes it. */
function checkAge({ issuedAt, expiresAt }: ServiceAccountClaims, now: number): readonly Finding[] {
  if (issuedAt === undefined || expiresAt === undefined) return []
  const share = (now - issuedAt) / (expiresAt - issuedAt)
  const why = `issued ${describeDuration(now - issuedAt)} ago`
  if (share <= REFRESHED_AT) return [ok('token age', why)]
  const text = `${why}, ${Math.round(share * 100)} % of its lifetime`
  return [warn('token age', text, 'check that the program that refreshes it still runs')]
}
