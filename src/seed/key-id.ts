import { createHash } from 'node:crypto'
import { encodeCanonically } from './canonical-encoding.ts'

const PREFIX = 'tb1-'
const DOMAIN = 'transit-bridge/key-id/v1'

export interface KeyIdParts {
  readonly clusterId: string
  /** Name of the Transit key. Address and mount are not part of the id, so that it still matches after a restore elsewhere. */
  readonly keyName: string
  readonly keyVersion: number
  /** When Vault created this version, in seconds since 1970: a key that was deleted and created again has another id. */
  readonly createdAt: number
}

/**
 * The opaque, public id of one version of one key in one cluster (KEP-3299: a key id is never reused).
 * Its inputs must never change, because stored data would no longer match its key.
 */
export function makeKeyId(parts: KeyIdParts): string {
  const encoded = encodeCanonically(DOMAIN, [
    parts.clusterId,
    parts.keyName,
    String(parts.keyVersion),
    String(parts.createdAt),
  ])
  return PREFIX + createHash('sha256').update(encoded).digest('base64url')
}

/** Whether a key id is one of this plugin, of any cluster. */
export function isOwnKeyId(keyId: string): boolean {
  return keyId.startsWith(PREFIX)
}

/** The form in which kube-apiserver's metrics show a key id. */
export function hashKeyId(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`
}
