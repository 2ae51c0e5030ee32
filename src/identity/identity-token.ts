import type { Secret } from '../secret.ts'

/** A service-account JWT, as the jwt and kubernetes logins need it; read and checked elsewhere. */
export interface IdentityToken {
  readonly token: Secret<string>
  /** What the JWT says of itself, unverified: it explains a refusal and proves nothing. */
  readonly claims: {
    readonly issuer: string
    readonly subject: string
    readonly audiences: readonly string[]
    /** Milliseconds since 1970. */
    readonly expiresAt: number
  }
}

/** Brings the JWT for one login; called anew for each. */
export type ReadIdentity = () => Promise<IdentityToken>
