import type { SecretFile } from './plan.ts'

/** The state of Vault that a plugin needs, from its configuration and the options of `setup`. */
export interface Wanted {
  readonly transit: { readonly mount: string; readonly key: string }
  readonly policy: { readonly name: string; readonly hcl: string }
  /** Undefined for a method that setup does not prepare: approle, cert, token. */
  readonly login: WantedLogin | undefined
  /** Whether vault.namespace is set; then setup leaves settings of the whole Vault alone. */
  readonly inNamespace: boolean
}

export type WantedLogin = JwtLogin | KubernetesLogin

interface LoginRole {
  readonly mount: string
  readonly role: string
  readonly serviceAccount: { readonly namespace: string; readonly name: string }
  readonly audience: string
}

export interface JwtLogin extends LoginRole {
  readonly method: 'jwt'
  readonly issuer: string
  /** SPKI in PEM. None, and no issuer, with --remove, which does not need them. */
  readonly publicKeys: readonly string[]
}

export interface KubernetesLogin extends LoginRole {
  readonly method: 'kubernetes'
  readonly host: string
  /** In PEM. Empty, as `host`, with --remove, which does not need them. */
  readonly ca: string
  readonly reviewer: Reviewer
}

/** Which token Vault presents to the API server to have a login's token reviewed. */
export type Reviewer =
  | ({
      readonly kind: 'file'
      /** In milliseconds since 1970, as the token claims. */
      readonly expiresAt?: number | undefined
      /** Why the API server may refuse it, one sentence each. */
      readonly suspicions: readonly string[]
    } & SecretFile)
  /** The token of the login itself. */
  | { readonly kind: 'login' }
  | { readonly kind: 'undecided' }

/** The description of the mounts that setup creates, by which --remove recognizes them. */
export const MADE_BY = 'made by transit-bridge setup'

/** Every request of the plugin carries the API server's uid in this header. */
export const UID_HEADER = 'X-Transit-Bridge-UID'
