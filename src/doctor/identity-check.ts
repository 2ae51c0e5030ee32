import type { Clock } from '../time/clock.ts'
import type { AuthConfig, TokenFileLogin } from '../config/config.ts'
import { formatDuration } from '../time/duration.ts'
import type { ServiceAccountClaims } from '../identity/service-account-token.ts'
import { checkServiceAccountToken } from '../identity/token-check.ts'
import { readServiceAccountToken } from '../identity/token-file.ts'
import { quotedAudiences } from '../identity/token-words.ts'
import { describeDuration } from '../time/duration.ts'
import { quoted } from '../text/quoted.ts'
import { fail, ok, warn, wordsOf, type Finding } from './finding.ts'
import { formatMode, readHostFile } from './host-file.ts'

/** Kubelet makes a token anew at 80 % of its life, or after a day (pkg/kubelet/token/token_manager.go). */
const REFRESHED_AT = 0.8

export interface IdentityCheck {
  readonly auth: AuthConfig
  /** Longest outage of the control plane after which a token must still be good (milliseconds). */
  readonly surviveMs: number
  readonly clock: Clock
}

/** What the plugin logs in with: the files, and of a service-account token all that it says of itself. */
export async function checkIdentity(check: IdentityCheck): Promise<readonly Finding[]> {
  const { auth } = check
  switch (auth.method) {
    case 'jwt':
    case 'kubernetes':
      return [...(await checkFiles([auth.tokenFile])), ...(await checkToken(check, auth))]
    case 'token':
      return checkFiles([auth.tokenFile])
    case 'approle':
      return checkFiles([auth.roleIdFile, auth.secretIdFile])
    case 'cert':
      return checkFiles([auth.keyFile])
  }
}

async function checkFiles(paths: readonly string[]): Promise<readonly Finding[]> {
  return Promise.all(
    paths.map(async (path) => {
      const file = await readHostFile(path)
      if ('problem' in file)
        return fail('login file', `${path} ${file.problem}`, 'whoever refreshes it must write it')
      if ((file.mode & 0o007) === 0)
        return ok('login file', `${path} has mode ${formatMode(file.mode)}`)
      const why = `${path} has mode ${formatMode(file.mode)}, so every user of this host can log in with it`
      return fail('login file', why, `chmod 0600 ${path}`)
    }),
  )
}

async function checkToken(
  { surviveMs, clock }: IdentityCheck,
  auth: TokenFileLogin,
): Promise<readonly Finding[]> {
  try {
    const { claims } = await readServiceAccountToken(auth.tokenFile)
    checkServiceAccountToken(claims, auth, clock.now())
    return [
      ok(
        'token',
        `issuer ${quoted(claims.issuer)}, subject ${quoted(claims.subject)}, ${quotedAudiences(claims.audiences)}`,
      ),
      checkLife(claims, surviveMs, clock.now()),
      ...checkAge(claims, clock.now()),
    ]
  } catch (thrown) {
    return [fail('token', wordsOf(thrown))]
  }
}

function checkLife({ expiresAt }: ServiceAccountClaims, surviveMs: number, now: number): Finding {
  const left = expiresAt - now
  const why = `expires in ${describeDuration(left)}`
  if (left >= surviveMs) return ok('token life', why)
  const needed = `it must last ${formatDuration(surviveMs)} (--survive), since after an outage of the control plane nothing makes another`
  return fail(
    'token life',
    `${why}; ${needed}`,
    'ask for a longer one: kubectl create token --duration, or expirationSeconds',
  )
}

/** A token that is old although it should be made anew says that nothing refreshes it. */
function checkAge({ issuedAt, expiresAt }: ServiceAccountClaims, now: number): readonly Finding[] {
  if (issuedAt === undefined) return []
  const share = (now - issuedAt) / (expiresAt - issuedAt)
  const why = `made ${describeDuration(now - issuedAt)} ago`
  if (share <= REFRESHED_AT) return [ok('token age', why)]
  const text = `${why}, ${Math.round(share * 100)} % of its life`
  return [warn('token age', text, 'is whoever refreshes it still at work?')]
}
