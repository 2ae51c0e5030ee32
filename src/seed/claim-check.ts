import { BridgeError } from '../errors.ts'
import type { Claim, OpenedEnvelope } from './envelope.ts'
import type { ClusterIds, KeySnapshot } from './key-snapshot.ts'

/** Longest part of a foreign cluster id that a message shows. */
const MAX_SHOWN_ID_LENGTH = 128

/** Returns a snapshot of the key; reads the key again if the known snapshot does not satisfy `isKnown`. */
export type SnapshotSource = (
  isKnown: (snapshot: KeySnapshot) => boolean,
) => KeySnapshot | Promise<KeySnapshot>

/**
 * The one decision on whether an envelope may be opened: its cluster is accepted, Vault lists its key version,
 * and key id, annotations and ciphertext agree. Throws CLUSTER_FOREIGN, KEY_VERSION_DISABLED, KEY_ID_UNKNOWN,
 * ANNOTATIONS_INVALID or CIPHERTEXT_INVALID, or what `snapshotFor` throws.
 */
export async function checkClaim(
  opened: OpenedEnvelope,
  clusters: ClusterIds,
  snapshotFor: SnapshotSource,
): Promise<void> {
  requireKnownCluster(opened, clusters)
  requireClaim(opened, clusters, await snapshotFor((snapshot) => isListed(opened, snapshot)))
}

/** Whether a snapshot lists the key version of an envelope, so that {@link requireClaim} can decide without Vault. */
export function isListed({ claim, keyVersion }: OpenedEnvelope, snapshot: KeySnapshot): boolean {
  const { references, key } = snapshot
  return claim?.keyId === undefined ? key.versions.has(keyVersion) : references.has(claim.keyId)
}

/** {@link checkClaim} against a snapshot. */
export function requireClaim(
  opened: OpenedEnvelope,
  clusters: ClusterIds,
  snapshot: KeySnapshot,
): void {
  requireKnownCluster(opened, clusters)
  if (!isListed(opened, snapshot)) throw explainUnknown(opened, snapshot)
  const { claim } = opened
  if (claim?.keyId !== undefined) requireSameReference(opened, claim, claim.keyId, snapshot)
}

function requireKnownCluster({ claim }: OpenedEnvelope, clusters: ClusterIds): void {
  if (claim === undefined) return
  const { clusterId } = claim
  if (clusterId === clusters.clusterId || clusters.alsoDecryptClusters.includes(clusterId)) return
  const shown = JSON.stringify(clusterId.slice(0, MAX_SHOWN_ID_LENGTH))
  throw new BridgeError(
    'CLUSTER_FOREIGN',
    `the data belongs to cluster ${shown}, but kms.clusterId is ${JSON.stringify(clusters.clusterId)}; after a restore, list the other cluster in kms.alsoDecryptClusters`,
  )
}

function explainUnknown({ keyVersion }: OpenedEnvelope, { key }: KeySnapshot): BridgeError {
  if (keyVersion < key.minDecryptionVersion) {
    return new BridgeError(
      'KEY_VERSION_DISABLED',
      `the data was encrypted with version ${String(keyVersion)} of transit key ${key.name}, which min_decryption_version ${String(key.minDecryptionVersion)} disables; lower it to read the data`,
    )
  }
  if (keyVersion > key.latestVersion) {
    return new BridgeError(
      'KEY_ID_UNKNOWN',
      `the data was encrypted with version ${String(keyVersion)} of transit key ${key.name}, but version ${String(key.latestVersion)} is the latest in Vault; if Vault was restored from a backup, restore a newer one`,
    )
  }
  return new BridgeError(
    'KEY_ID_UNKNOWN',
    `the key id matches no version of transit key ${key.name} in Vault; the data was encrypted with another key, or with a key of that name that was deleted`,
  )
}

function requireSameReference(
  { keyVersion }: OpenedEnvelope,
  { clusterId }: Claim,
  keyId: string,
  { references }: KeySnapshot,
): void {
  const reference = references.get(keyId)
  if (reference?.clusterId !== clusterId) {
    throw new BridgeError(
      'ANNOTATIONS_INVALID',
      'the key id and the annotations name different clusters; the data was changed',
    )
  }
  if (reference.keyVersion !== keyVersion) {
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      `the ciphertext names key version ${String(keyVersion)}, but its key id stands for version ${String(reference.keyVersion)}; the data was changed`,
    )
  }
}
