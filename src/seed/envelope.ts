import { BridgeError } from '../errors.ts'
import { readCiphertextVersion } from '../transit/ciphertext.ts'
import { encodeAssociatedData, readCluster, type Annotations } from './annotations.ts'

/** What Encrypt answers and etcd keeps: all that Decrypt is given later. */
export interface Envelope {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Annotations
}

/** An envelope whose shape is known, before anything is asked of Vault. */
export interface OpenedEnvelope {
  /** In Transit's text form. */
  readonly ciphertext: string
  readonly keyVersion: number
  /** Absent only for data of another plugin, which did not authenticate any. */
  readonly associatedData?: Buffer
  /** What the key id must stand for; absent where the data carries none that we made. */
  readonly claim?: { readonly keyId: string; readonly clusterId: string }
}

/**
 * Largest ciphertext that is looked at: kube-apiserver accepts 1 KiB from a plugin
 * (kmsv2/envelope.go, encryptedDEKSourceMaxSize); the rest is room for KMS v1 and for tests.
 */
const MAX_CIPHERTEXT_LENGTH = 96 * 1024

/** Opens what this plugin wrote; CIPHERTEXT_INVALID or ANNOTATIONS_INVALID if it did not. */
export function openEnvelope(envelope: Envelope): OpenedEnvelope {
  const clusterId = readCluster(envelope.annotations)
  return {
    ...openCiphertext(readText(envelope.ciphertext)),
    associatedData: encodeAssociatedData(envelope.annotations),
    claim: { keyId: envelope.keyId, clusterId },
  }
}

/**
 * Whether an envelope looks like one of github.com/FalcoSuessgott/vault-kubernetes-kms: the bare Transit
 * version as key id, and no annotations (its pkg/plugin/plugin_v2.go).
 */
export function isVaultKubernetesKmsEnvelope(envelope: Envelope): boolean {
  return /^[1-9][0-9]{0,8}$/.test(envelope.keyId) && Object.keys(envelope.annotations).length === 0
}

/**
 * Opens what vault-kubernetes-kms wrote. Its key id is not checked against the ciphertext's version: it
 * reads the two one after the other, and a rotation in between makes them differ.
 */
export function openVaultKubernetesKmsEnvelope(ciphertext: Uint8Array): OpenedEnvelope {
  return openCiphertext(readText(ciphertext))
}

/** Splits a Transit ciphertext; CIPHERTEXT_INVALID if it is none. */
export function openCiphertext(
  ciphertext: string,
): Pick<OpenedEnvelope, 'ciphertext' | 'keyVersion'> {
  const keyVersion = readCiphertextVersion(ciphertext)
  if (keyVersion === undefined) {
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      'the ciphertext does not have the form of transit ("vault:v1:…"); it was written by another plugin or is damaged',
    )
  }
  return { ciphertext, keyVersion }
}

/** Ciphertexts are ASCII; other bytes become characters that no pattern matches. */
export function readText(bytes: Uint8Array): string {
  if (bytes.byteLength > MAX_CIPHERTEXT_LENGTH) {
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      'the ciphertext is longer than any that this plugin makes',
    )
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
