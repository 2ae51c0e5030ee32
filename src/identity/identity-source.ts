import type { Clock } from '../time/clock.ts'
import type { IdentityMetrics } from '../telemetry/metrics/roles.ts'
import type { ReadIdentity } from './identity-token.ts'
import { findTokenProblem, type TokenExpectations } from './token-check.ts'
import { readServiceAccountToken } from './token-file.ts'

export interface IdentitySourceOptions {
  /** The file of `vault.auth.tokenFile`. */
  readonly file: string
  readonly expectations: TokenExpectations
  readonly clock: Clock
  readonly metrics: Pick<IdentityMetrics, 'identityTokenExpiry'>
}

/**
 * The program's own identity, for the jwt and kubernetes logins. Only Vault decides whether a token is valid: its clock may be
 * right where this host's is wrong, and a role may allow more leeway.
 */
export function identityFromFile(options: IdentitySourceOptions): ReadIdentity {
  const { file, expectations, clock, metrics } = options
  return async () => {
    const identity = await readServiceAccountToken(file)
    const { expiresAt = Infinity } = identity.claims
    metrics.identityTokenExpiry.set(expiresAt / 1000)
    return { ...identity, doubt: findTokenProblem(identity.claims, expectations, clock.now()) }
  }
}
