import type { SecretFile } from './plan.ts'

/** The state of Vault that an installation needs, from its configuration and the options of `setup`. */
export interface Wanted {
  readonly plugin?: WantedPlugin | undefined
  readonly provider?: WantedProvider | undefined
}

/** What the KMS plugin needs. */
export interface WantedPlugin {
  readonly transit: { readonly mount: string; readonly key: string }
  readonly policy: { readonly name: string; readonly hcl: string }
  /** Undefined for a method that setup does not prepare: approle, cert, token. */
  readonly login: WantedLogin | undefined
  /** Whether vault.namespace is set; then setup leaves settings of the whole Vault alone. */
  readonly inNamespace: boolean
}

/** What the CSI provider needs. Policies and roles of workloads are decisions of the administrator. */
export interface WantedProvider {
  /** The Transit engine. */
  readonly mount: string
  /** Where pods log in; a text says why setup does not prepare it. */
  readonly login: WantedMount | string
}

/** An auth method that checks service-account tokens. */
export type WantedMount = JwtMount | KubernetesMount

/** A role of an auth method for one service account. */
export type WantedLogin = JwtLogin | KubernetesLogin

export type JwtLogin = JwtMount & LoginRole
export type KubernetesLogin = KubernetesMount & LoginRole

interface LoginRole {
  readonly role: string
  readonly serviceAccount: ServiceAccount
}

export interface ServiceAccount {
  readonly namespace: string
  readonly name: string
}

interface Mount {
  readonly mount: string
  /** Where the configuration names the mount, for messages. */
  readonly setting: 'vault.auth.mount' | 'csi.auth.mount'
  readonly audience: string
}

export interface JwtMount extends Mount {
  readonly method: 'jwt'
  readonly issuer: string
  /** SPKI in PEM. None, and no issuer, with --remove, which does not need them. */
  readonly publicKeys: readonly string[]
}

export interface KubernetesMount extends Mount {
  readonly method: 'kubernetes'
  readonly host: string
  /** In PEM. Empty, as `host`, with --remove, which does not need them. */
  readonly ca: string
  readonly reviewer: Reviewer
  /** Who logs in. Undefined: many pods. */
  readonly serviceAccount?: ServiceAccount | undefined
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
