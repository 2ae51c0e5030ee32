import type { LogLevel } from './log-level.ts'

/**
 * The configuration as the program uses it: defaults filled, durations in milliseconds, frozen at every
 * depth. What a person writes, and the limits of each key, is in the folder schema.
 */
export interface Config extends ProviderConfig {
  readonly vault: VaultConfig
  readonly transit: TransitConfig
}

/**
 * What `transit-bridge csi` needs. The provider is nobody to Vault, since pods bring their own tokens, and it has no
 * key: a file without a `kms` section may leave out both.
 */
export interface ProviderConfig {
  readonly vault: VaultConnection
  readonly transit: TransitPlace
  /** Undefined when the file has no `kms` section; see requireSection. */
  readonly kms?: KmsConfig
  /** Undefined when the file has no `csi` section; see requireSection. */
  readonly csi?: CsiConfig
  readonly admin: AdminConfig
  readonly log: LogConfig
}

export interface VaultConfig extends VaultConnection {
  readonly auth: AuthConfig
}

export interface VaultConnection {
  /** At least one; each an origin such as `https://vault.example.com:8200`, without a slash at the end. */
  readonly addresses: readonly string[]
  readonly namespace?: string
  readonly caFile?: string
  readonly serverName?: string
  /** For a listener of Vault that requires one, or for the login method cert. */
  readonly clientCertificate?: ClientCertificate
  /** For one request, inside the deadline of whoever waits for it. */
  readonly timeoutMs: number
  /** Whether http:// to another host was allowed by name. */
  readonly allowPlaintext: boolean
  readonly auth?: AuthConfig
}

export interface ClientCertificate {
  readonly certFile: string
  readonly keyFile: string
  /** Where the configuration names the files: vault.clientCertFile or vault.auth.certFile. */
  readonly section: 'vault' | 'vault.auth'
}

export type AuthConfig = TokenFileLogin | AppRoleLogin | CertLogin | TokenLogin

interface LoginPlace {
  /** Where the auth method is mounted, without `auth/` and without slashes at the ends. */
  readonly mount: string
  /** Only when the login is in another namespace than the work. */
  readonly namespace?: string
}

export interface TokenFileLogin extends LoginPlace {
  readonly method: 'jwt' | 'kubernetes'
  readonly role: string
  readonly tokenFile: string
  /** What the token's `aud` must contain; it is looked at before Vault sees the token. */
  readonly audience?: string
  /** What the token's `iss` must be; it is looked at before Vault sees the token. */
  readonly issuer?: string
}

export interface AppRoleLogin extends LoginPlace {
  readonly method: 'approle'
  readonly roleIdFile: string
  readonly secretIdFile: string
}

export interface CertLogin extends LoginPlace {
  readonly method: 'cert'
  readonly role?: string
  readonly certFile: string
  readonly keyFile: string
}

export interface TokenLogin {
  readonly method: 'token'
  readonly tokenFile: string
  readonly namespace?: string
}

export interface TransitConfig extends TransitPlace {
  readonly key: string
}

export interface TransitPlace {
  readonly mount: string
  /** The KMS plugin's key. */
  readonly key?: string
}

export interface KmsConfig {
  readonly socket: string
  /** Permission bits, for example 0o600. */
  readonly socketMode: number
  /** A name, or a gid. */
  readonly socketGroup?: string | number
  readonly clusterId: string
  readonly refreshIntervalMs: number
  readonly outageGraceMs: number
  readonly maxCallsInFlight: number
  readonly decryptCache: DecryptCacheConfig
  readonly alsoDecryptClusters: readonly string[]
  readonly acceptFrom: readonly AcceptedPlugin[]
  readonly v1beta1: boolean
}

export interface DecryptCacheConfig {
  readonly enabled: boolean
  readonly maxEntries: number
  readonly ttlMs: number
}

/** Plugins whose ciphertext ours can read. */
export const ACCEPTED_PLUGINS = ['vault-kubernetes-kms'] as const
export type AcceptedPlugin = (typeof ACCEPTED_PLUGINS)[number]

/** What a workload can be given. */
export const CSI_OBJECT_TYPES = [
  'publicKey',
  'jwks',
  'dataKey',
  'decrypt',
  'exportedKey',
  'keyInfo',
] as const
export type CsiObjectType = (typeof CSI_OBJECT_TYPES)[number]

export interface CsiConfig {
  readonly socket: string
  /** That the pods' tokens must have. */
  readonly audience: string
  readonly auth: CsiAuthConfig
  readonly mount: string
  readonly refreshIntervalMs: number
  /** 0: decrypted content is never kept. */
  readonly revalidateAfterMs: number
  readonly rules: readonly CsiRule[]
}

export interface CsiAuthConfig {
  readonly method: 'jwt' | 'kubernetes'
  readonly mount: string
}

/** Allows what matches all five lists. The first four hold patterns in which `*` stands for any text. */
export interface CsiRule {
  readonly namespaces: readonly string[]
  readonly serviceAccounts: readonly string[]
  readonly roles: readonly string[]
  readonly keys: readonly string[]
  readonly types: readonly CsiObjectType[]
}

export interface AdminConfig {
  /** Undefined: `none`, nothing listens. */
  readonly listen?: ListenAddress
  /** Undefined: Vault cannot be taken away for a rehearsal. */
  readonly drill?: DrillConfig
}

/** A switch that takes Vault away for a rehearsal. */
export interface DrillConfig {
  /** Holds what a caller must show. */
  readonly tokenFile: string
  readonly maxDurationMs: number
}

export interface ListenAddress {
  /** A name or an address; an IPv6 address is without its brackets. */
  readonly host: string
  readonly port: number
}

export interface LogConfig {
  readonly level: LogLevel
}
