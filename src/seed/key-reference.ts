import { BridgeError } from '../errors.ts'
import type { OpenedEnvelope } from './envelope.ts'
import type { KeySnapshot } from './key-snapshot.ts'

/** Why data of a key version that Vault does not list is refused. */
export function refuseUnknown(opened: OpenedEnvelope, snapshot: KeySnapshot): BridgeError {
  const { key } = snapshot
  if (opened.keyVersion < key.minDecryptionVersion) {
    return new BridgeError(
      'KEY_VERSION_DISABLED',
      `the data was encrypted with version ${String(opened.keyVersion)} of transit key ${key.name}, which min_decryption_version ${String(key.minDecryptionVersion)} disables; lower it to read the data`,
    )
  }
  return new BridgeError(
    'KEY_ID_UNKNOWN',
    `the key id is of no version of transit key ${key.name} that vault lists; the data was encrypted with another key, or with one of that name that was deleted`,
  )
}

/** Throws unless key id, annotations and ciphertext all speak of the same cluster and key version. */
export function requireSameReference(
  opened: OpenedEnvelope,
  claim: NonNullable<OpenedEnvelope['claim']>,
  snapshot: KeySnapshot,
): void {
  const reference = snapshot.references.get(claim.keyId)
  if (reference?.clusterId !== claim.clusterId) {
    throw new BridgeError(
      'ANNOTATIONS_INVALID',
      'the key id and the annotations are of different clusters; the data was changed',
    )
  }
  if (reference.keyVersion !== opened.keyVersion) {
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      `the ciphertext is of key version ${String(opened.keyVersion)}, its key id of version ${String(reference.keyVersion)}; the data was changed`,
    )
  }
}
