import type { TransitKey } from '../transit/key.ts'
import { BridgeError } from '../errors.ts'
import { makeKeyId } from './key-id.ts'

/** What a key id stands for. */
export interface KeyReference {
  readonly clusterId: string
  readonly keyVersion: number
}

/** The key as Vault described it at one moment: Status answers from it, Encrypt and Decrypt check against it. */
export interface KeySnapshot {
  readonly key: TransitKey
  /** The version that Encrypt uses, and its id in this cluster. */
  readonly keyVersion: number
  readonly keyId: string
  /** When Vault created the announced version, in seconds since 1970. */
  readonly createdAt: number
  /** Every key id that may be decrypted: of this cluster and of those in kms.alsoDecryptClusters. */
  readonly references: ReadonlyMap<string, KeyReference>
  /** When Vault answered, in milliseconds of Clock.monotonic. */
  readonly takenAt: number
}

export interface ClusterIds {
  readonly clusterId: string
  readonly alsoDecryptClusters: readonly string[]
}

/** Throws VAULT_ANSWER_INVALID if Vault lists no creation time for the latest version. */
export function makeSnapshot(key: TransitKey, clusters: ClusterIds, takenAt: number): KeySnapshot {
  const latest = key.versions.get(key.latestVersion)
  if (latest === undefined) {
    throw new BridgeError(
      'VAULT_ANSWER_INVALID',
      `Vault reports version ${String(key.latestVersion)} as the latest of transit key ${key.name} but does not list that version`,
    )
  }
  const references = new Map<string, KeyReference>()
  for (const clusterId of [clusters.clusterId, ...clusters.alsoDecryptClusters]) {
    for (const [keyVersion, { createdAt }] of key.versions) {
      const keyId = makeKeyId({ clusterId, keyName: key.name, keyVersion, createdAt })
      references.set(keyId, { clusterId, keyVersion })
    }
  }
  return {
    key,
    keyVersion: key.latestVersion,
    keyId: makeKeyId({
      clusterId: clusters.clusterId,
      keyName: key.name,
      keyVersion: key.latestVersion,
      createdAt: latest.createdAt,
    }),
    createdAt: latest.createdAt,
    references,
    takenAt,
  }
}
