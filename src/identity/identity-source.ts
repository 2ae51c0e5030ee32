import type { Clock } from '../time/clock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ReadIdentity } from './identity-token.ts'
import { checkServiceAccountToken, type TokenExpectations } from './token-check.ts'
import { readServiceAccountToken } from './token-file.ts'

export interface IdentitySourceOptions {
  /** The file of `vault.auth.tokenFile`. */
  readonly file: string
  readonly expectations: TokenExpectations
  readonly clock: Clock
  readonly metrics: Pick<Metrics, 'identityTokenExpiry'>
}

/** This program's own identity, for the jwt and kubernetes logins: read and checked anew for each. */
export function identityFromFile(options: IdentitySourceOptions): ReadIdentity {
  const { file, expectations, clock, metrics } = options
  return async () => {
    const identity = await readServiceAccountToken(file)
    metrics.identityTokenExpiry.set(identity.claims.expiresAt / 1000)
    checkServiceAccountToken(identity.claims, expectations, clock.now())
    return identity
  }
}
