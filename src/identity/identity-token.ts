import type { Secret } from '../secret.ts'

/** A JWT, as the jwt and kubernetes logins need it: a service-account token or a JWT-SVID. */
export interface IdentityToken {
  readonly token: Secret<string>
  /** What the JWT claims, unverified: it explains a refusal and proves nothing. */
  readonly claims: {
    readonly issuer?: string | undefined
    readonly subject?: string | undefined
    readonly audiences: readonly string[]
    /** Milliseconds since 1970. */
    readonly expiresAt?: number | undefined
  }
  /** Why Vault may refuse it, as far as the claims show. */
  readonly doubt?: string | undefined
}

/** Reads the JWT for one login; called again for each. */
export type ReadIdentity = () => Promise<IdentityToken>
