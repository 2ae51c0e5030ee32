import type { LogLevel } from './log-level.ts'

/**
 * The configuration as the program uses it: with defaults, durations in milliseconds, deeply frozen. The keys that a
 * person writes, and their limits, are in src/config/schema.
 */
export interface Config extends ProviderConfig {
  readonly vault: VaultConfig
  readonly transit: TransitConfig
}

/**
 * What `transit-bridge csi` needs. The provider has neither a login nor a key, because pods log in with their own tokens, so
 * a file without a `kms` section may omit both.
 */
export interface ProviderConfig {
  readonly vault: VaultConnection
  readonly transit: ProviderTransitConfig
  /** Undefined when the file has no `kms` section; see requireSection. */
  readonly kms?: KmsConfig | undefined
  /** Undefined when the file has no `csi` section; see requireSection. */
  readonly csi?: CsiConfig | undefined
  readonly admin: AdminConfig
  readonly log: LogConfig
}

export interface VaultConfig extends VaultConnection {
  readonly auth: AuthConfig
}

export interface VaultConnection {
  /** At least one; each an origin such as `https://vault.example.com:8200`, without a trailing slash. */
  readonly addresses: readonly string[]
  readonly namespace?: string | undefined
  readonly caFile?: string | undefined
  readonly serverName?: string | undefined
  /** For a listener of Vault that requires one, or for the login method cert. */
  readonly clientCertificate?: ClientCertificate | undefined
  /** Of one request, within the deadline of the call. */
  readonly timeoutMs: number
  /** Whether http:// to another host is allowed. */
  readonly allowPlaintext: boolean
  readonly auth?: AuthConfig | undefined
}

export interface ClientCertificate {
  readonly certFile: string
  readonly keyFile: string
  /** Where the configuration names the files: vault.clientCertFile or vault.auth.certFile. */
  readonly section: 'vault' | 'vault.auth'
}

export type AuthConfig = TokenFileLogin | AppRoleLogin | CertLogin | TokenLogin

/** Where an auth method is mounted. */
interface AuthMount {
  /** The mount path of the auth method, without `auth/` and without a leading or trailing slash. */
  readonly mount: string
  /** Only if it differs from the namespace of the Transit engine. */
  readonly namespace?: string | undefined
}

export interface TokenFileLogin extends AuthMount {
  readonly method: 'jwt' | 'kubernetes'
  readonly role: string
  readonly tokenFile: string
  /** Expected in the token's `aud`. The plugin explains a refusal with it; the installer does not copy a token without it. */
  readonly audience?: string | undefined
  /** Expected as the token's `iss`; used like `audience`. */
  readonly issuer?: string | undefined
}

export interface AppRoleLogin extends AuthMount {
  readonly method: 'approle'
  readonly roleIdFile: string
  readonly secretIdFile: string
}

export interface CertLogin extends AuthMount {
  readonly method: 'cert'
  readonly role?: string | undefined
  readonly certFile: string
  readonly keyFile: string
}

export interface TokenLogin {
  readonly method: 'token'
  readonly tokenFile: string
  readonly namespace?: string | undefined
}

export interface TransitConfig extends ProviderTransitConfig {
  readonly key: string
}

/** The section `transit` of a file that may omit the key. */
export interface ProviderTransitConfig {
  readonly mount: string
  /** The KMS plugin's key. */
  readonly key?: string | undefined
}

export interface KmsConfig {
  readonly socket: string
  /** Permission bits, for example 0o600. */
  readonly socketMode: number
  /** A name, or a gid. */
  readonly socketGroup?: string | number | undefined
  readonly clusterId: string
  readonly refreshIntervalMs: number
  readonly outageGraceMs: number
  readonly maxCallsInFlight: number
  readonly decryptCache: DecryptCacheConfig
  readonly localKeys: LocalKeysConfig
  readonly alsoDecryptClusters: readonly string[]
  readonly acceptFrom: readonly AcceptedPlugin[]
  readonly v1beta1: boolean
}

export interface DecryptCacheConfig {
  readonly enabled: boolean
  readonly maxEntries: number
  readonly ttlMs: number
}

export interface LocalKeysConfig {
  readonly enabled: boolean
  readonly offlineForMs: number
  readonly maxUses: number
  readonly maxAgeMs: number
  /** Together with `nodeKeyFile`, or neither. */
  readonly sealedFile?: string | undefined
  readonly nodeKeyFile?: string | undefined
}

/** Other plugins whose ciphertexts this one can decrypt. */
export const ACCEPTED_PLUGINS = ['vault-kubernetes-kms'] as const
export type AcceptedPlugin = (typeof ACCEPTED_PLUGINS)[number]

/** The object types of a class. */
export const CSI_OBJECT_TYPES = [
  'publicKey',
  'jwks',
  'certificate',
  'dataKey',
  'decrypt',
  'exportedKey',
  'keyInfo',
] as const
export type CsiObjectType = (typeof CSI_OBJECT_TYPES)[number]

/** What a pod may do at run time through the socket of its volume. */
export const CSI_OPERATIONS = [
  'encrypt',
  'decrypt',
  'rewrap',
  'sign',
  'verify',
  'hmac',
  'dataKey',
  'random',
  'hash',
  'keyInfo',
] as const
export type CsiOperation = (typeof CSI_OPERATIONS)[number]

export interface CsiConfig {
  readonly socket: string
  /** Required in the pods' tokens. */
  readonly audience: string
  readonly auth: CsiAuthConfig
  /** Replaces `auth` for individual Vault namespaces. */
  readonly authByNamespace: readonly CsiNamespaceAuthConfig[]
  readonly mount: string
  readonly refreshIntervalMs: number
  /** 0: decrypted content is not cached. */
  readonly revalidateAfterMs: number
  readonly rules: readonly CsiRule[]
  /** Undefined: no sockets for pods. */
  readonly runtime?: CsiRuntimeConfig | undefined
}

/** A CSI driver whose volumes contain a socket with Transit's API. */
export interface CsiRuntimeConfig {
  /** The name of the CSIDriver object. */
  readonly driverName: string
  /** Where the kubelet calls the driver. The path must be the same on the host. */
  readonly socket: string
  /** Where the kubelet finds the driver. */
  readonly registrationSocket: string
  /** What a restart needs; in memory (tmpfs), so that it can include the tokens of the pods. */
  readonly stateFolder: string
  /** Undefined: the name of the host. */
  readonly nodeName?: string | undefined
  readonly maxRequestsPerSecond: number
}

export interface CsiAuthConfig {
  readonly method: 'jwt' | 'kubernetes'
  readonly mount: string
  /** Where pods log in, if not in the namespace of the Transit engine; empty for the root namespace. */
  readonly namespace?: string | undefined
}

export interface CsiNamespaceAuthConfig extends CsiAuthConfig {
  /** Empty for the root namespace. */
  readonly vaultNamespace: string
}

/**
 * Allows what matches all lists, in one Transit engine: `types` for files, `operations` at run time. The first four are
 * lists of patterns in which `*` matches any text.
 */
export interface CsiRule {
  /** Undefined: vault.namespace. Empty for the root namespace. */
  readonly vaultNamespace?: string | undefined
  /** Undefined: csi.mount. */
  readonly mount?: string | undefined
  readonly namespaces: readonly string[]
  readonly serviceAccounts: readonly string[]
  readonly roles: readonly string[]
  readonly keys: readonly string[]
  readonly types: readonly CsiObjectType[]
  /** Undefined: none. */
  readonly operations?: readonly CsiOperation[] | undefined
}

export interface AdminConfig {
  /** Undefined: `none`, no listener. */
  readonly listen?: ListenAddress | undefined
  /** Undefined: drills are not possible. */
  readonly drill?: DrillConfig | undefined
}

/** Allows a rehearsal to disconnect the plugin from Vault. */
export interface DrillConfig {
  /** Contains the token that authorizes a drill. */
  readonly tokenFile: string
  readonly maxDurationMs: number
}

export interface ListenAddress {
  /** A name or an address; an IPv6 address has no brackets here. `*`: all addresses. */
  readonly host: string
  readonly port: number
}

export interface LogConfig {
  readonly level: LogLevel
}
