import * as v from 'valibot'
import { BridgeError } from '../errors.ts'
import { isAsymmetric } from './private-key.ts'

/** One version of a Transit key. */
export interface TransitKeyVersion {
  /**
   * Seconds since 1970. With name and version it distinguishes a key from one that was deleted and created again. 0 for keys
   * of type hmac, whose versions Vault does not list.
   */
  readonly createdAt: number
  /** PEM, or for ed25519 the raw key in base64; absent for symmetric keys. */
  readonly publicKey?: string | undefined
  /** PEM, the certificate of the key first. Present only after a write to set-certificate. */
  readonly certificateChain?: string | undefined
}

/** What Vault reports about a Transit key: never key material. */
export interface TransitKey {
  readonly name: string
  readonly type: string
  readonly latestVersion: number
  readonly minDecryptionVersion: number
  /** 0 sets no limit: any version from minDecryptionVersion on encrypts. */
  readonly minEncryptionVersion: number
  readonly derived: boolean
  readonly softDeleted: boolean
  /** Versions from minDecryptionVersion on; Vault lists no older ones. */
  readonly versions: ReadonlyMap<number, TransitKeyVersion>
}

/** Key types with authenticated additional data (sdk/helper/keysutil/policy.go, KeyType.AssociatedDataSupported). */
const AEAD_TYPES: ReadonlySet<string> = new Set([
  'aes256-gcm96',
  'aes128-gcm96',
  'chacha20-poly1305',
  'xchacha20-poly1305',
])

/** Whether keys of a type authenticate associated data; the plugin needs one. */
export function authenticatesAad(type: string): boolean {
  return AEAD_TYPES.has(type)
}

const PositiveInteger = v.pipe(v.number(), v.integer(), v.minValue(1))

/** Symmetric keys: seconds since 1970. Asymmetric keys: an object with an RFC 3339 time. */
const Version = v.union([
  PositiveInteger,
  v.object({
    creation_time: v.string(),
    public_key: v.optional(v.string()),
    certificate_chain: v.optional(v.string()),
  }),
])

const KeyAnswer = v.object({
  data: v.object({
    name: v.string(),
    type: v.string(),
    latest_version: PositiveInteger,
    min_decryption_version: v.optional(v.number(), 1),
    min_encryption_version: v.optional(v.number(), 0),
    derived: v.optional(v.boolean(), false),
    // Only OpenBao returns it.
    soft_deleted: v.optional(v.boolean(), false),
    keys: v.optional(v.record(v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,8}$/)), Version)),
  }),
})
type KeyData = v.InferOutput<typeof KeyAnswer>['data']

/** Reads the answer to GET keys/<name>; throws VAULT_ANSWER_INVALID if it is anything else. */
export function parseTransitKey(body: unknown): TransitKey {
  const parsed = v.safeParse(KeyAnswer, body, { abortEarly: true })
  const versions = parsed.success ? readVersions(parsed.output.data) : undefined
  if (!parsed.success || versions === undefined) {
    const path = parsed.issues?.[0]?.path?.map((item) => String(item.key)).join('.')
    const where = path ?? (parsed.success ? 'data.keys' : 'the answer')
    throw new BridgeError(
      'VAULT_ANSWER_INVALID',
      `the response to a read of the transit key is not a response of Vault (${where}); check that vault.address is the address of Vault`,
    )
  }
  const { data } = parsed.output
  return {
    name: data.name,
    type: data.type,
    latestVersion: data.latest_version,
    minDecryptionVersion: data.min_decryption_version,
    minEncryptionVersion: data.min_encryption_version,
    derived: data.derived,
    softDeleted: data.soft_deleted,
    versions,
  }
}

/** Undefined if versions are missing. For hmac, and types of other releases such as cmac, Vault lists none. */
function readVersions(data: KeyData): ReadonlyMap<number, TransitKeyVersion> | undefined {
  if (data.keys !== undefined) {
    return new Map(
      Object.entries(data.keys).map(([number, version]) => [Number(number), readVersion(version)]),
    )
  }
  if (authenticatesAad(data.type) || isAsymmetric(data.type)) return undefined
  const first = Math.max(1, data.min_decryption_version)
  const count = Math.max(0, data.latest_version - first + 1)
  return new Map(Array.from({ length: count }, (_none, index) => [first + index, { createdAt: 0 }]))
}

function readVersion(version: v.InferOutput<typeof Version>): TransitKeyVersion {
  if (typeof version === 'number') return { createdAt: version }
  const milliseconds = Date.parse(version.creation_time)
  if (Number.isNaN(milliseconds)) {
    throw new BridgeError(
      'VAULT_ANSWER_INVALID',
      'Vault returned a key version without a creation time',
    )
  }
  const createdAt = Math.floor(milliseconds / 1000)
  return {
    createdAt,
    publicKey: version.public_key,
    certificateChain: version.certificate_chain === '' ? undefined : version.certificate_chain,
  }
}

/** Whether a response to a read shows a key whose latest version is older than one that is known. */
export function showsOlderKey(text: string, knownVersion: number): boolean {
  const latest = /"latest_version":\s*(\d+)/.exec(text)?.[1]
  return latest !== undefined && Number(latest) < knownVersion
}

/** Throws KEY_UNSUITABLE or KEY_MISSING unless the key can wrap with authenticated annotations. */
export function requireWrappingKey(key: TransitKey): void {
  if (key.softDeleted) {
    throw new BridgeError(
      'KEY_MISSING',
      `transit key ${key.name} is soft-deleted; restore it with a write to keys/${key.name}/soft-delete-restore`,
    )
  }
  if (!authenticatesAad(key.type)) {
    throw new BridgeError(
      'KEY_UNSUITABLE',
      `transit key ${key.name} has type ${key.type}, which cannot authenticate annotations; use a key of type aes256-gcm96`,
    )
  }
  if (key.derived) {
    throw new BridgeError(
      'KEY_UNSUITABLE',
      `transit key ${key.name} is a derived key, which needs a context for each use; create a key without "derived"`,
    )
  }
}

/**
 * How long Vault must show an older key than the known one before it replaces the known one: a standby only lags, but a restored
 * backup stays.
 */
export const STEP_BACK_PATIENCE_MS = 120_000

/**
 * Whether `next` has fewer versions of the same key than `known`: an HA standby has not seen the last rotation yet, or
 * a backup was restored. A key that was deleted and created again has a younger version, so it is not a step back.
 */
export function isStepBack(known: TransitKey, next: TransitKey): boolean {
  return next.latestVersion < known.latestVersion && newestOf(next) <= newestOf(known)
}

/**
 * Whether two answers are about the same key: they have versions in common, and each of these was created in the same second. If
 * two copies of one Vault were both rotated, they share older versions and differ in the latest.
 */
export function isSameKey(known: TransitKey, other: TransitKey): boolean {
  const shared = [...known.versions].filter(([version]) => other.versions.has(version))
  return (
    shared.length > 0 &&
    shared.every(([version, { createdAt }]) => other.versions.get(version)?.createdAt === createdAt)
  )
}

function newestOf(key: TransitKey): number {
  return key.versions.get(key.latestVersion)?.createdAt ?? 0
}
