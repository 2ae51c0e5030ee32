import { BridgeError } from '../errors.ts'
import { readCiphertextVersion } from '../transit/ciphertext.ts'
import { encodeAssociatedData, readAnnotations, type Annotations } from './annotations.ts'
import { encodeLocalKeyAssociatedData, type SealedSeed } from './local-seal.ts'

/** What Encrypt returns and etcd stores: everything that a later Decrypt receives. */
export interface Envelope {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Annotations
}

/** What data claims about itself; none of it is trusted before `checkClaim`. */
export interface Claim {
  readonly clusterId: string
  /** Absent for KMS v1, which stores no key id. */
  readonly keyId?: string | undefined
}

/** An envelope whose form was checked, before Vault is asked. */
export interface OpenedEnvelope {
  /** In Transit's text form: of the DEK seed, or of the local key that encrypted it. */
  readonly ciphertext: string
  readonly keyVersion: number
  /** Absent only for data of vault-kubernetes-kms, which authenticates none. */
  readonly associatedData?: Buffer | undefined
  /** Absent only for data of vault-kubernetes-kms. */
  readonly claim?: Claim | undefined
  /** Present if a local key encrypted the DEK seed: what that key opens. */
  readonly sealed?: SealedSeed | undefined
}

/**
 * Encrypt refuses a longer plaintext. kube-apiserver sends 32 bytes, and "ping" as the health probe of KMS v1
 * (staging/src/k8s.io/apiserver/pkg/server/options/encryptionconfig/config.go).
 */
export const MAX_PLAINTEXT_BYTES = 64 * 1024

/**
 * Decrypt refuses a longer ciphertext. The limit admits everything that Encrypt produces: base64 of MAX_PLAINTEXT_BYTES, nonce
 * and tag takes at most 87,436 bytes, and the rest is for the prefix with its cluster id.
 */
export const MAX_CIPHERTEXT_BYTES = 96 * 1024

/** Decrypt refuses a longer local key. Transit returns about 90 bytes for one. */
export const MAX_WRAPPED_KEY_BYTES = 1024

/** Opens what this plugin wrote; CIPHERTEXT_INVALID or ANNOTATIONS_INVALID for anything else. */
export function openEnvelope(envelope: Envelope): OpenedEnvelope {
  const { clusterId, wrappedKey } = readAnnotations(envelope.annotations)
  const claim = { clusterId, keyId: envelope.keyId }
  const associatedData = encodeAssociatedData(envelope.annotations)
  if (wrappedKey === undefined)
    return { ...openCiphertext(readText(envelope.ciphertext)), associatedData, claim }
  requireSize(envelope.ciphertext)
  if (wrappedKey.byteLength > MAX_WRAPPED_KEY_BYTES) {
    throw new BridgeError(
      'ANNOTATIONS_INVALID',
      `the annotation with the local key has ${String(wrappedKey.byteLength)} bytes; this plugin writes at most ${String(MAX_WRAPPED_KEY_BYTES)}`,
    )
  }
  return {
    ...openCiphertext(readText(wrappedKey)),
    associatedData: encodeLocalKeyAssociatedData(clusterId),
    claim,
    sealed: { bytes: envelope.ciphertext, associatedData, keyId: envelope.keyId, clusterId },
  }
}

/**
 * Whether an envelope has the form of github.com/FalcoSuessgott/vault-kubernetes-kms: the bare Transit
 * version as key id, and no annotations (its pkg/plugin/plugin_v2.go).
 */
export function isVaultKubernetesKmsEnvelope(envelope: Envelope): boolean {
  return /^[1-9][0-9]{0,8}$/.test(envelope.keyId) && Object.keys(envelope.annotations).length === 0
}

/**
 * Opens what vault-kubernetes-kms wrote. Its key id is not compared with the version of the ciphertext: the plugin
 * reads the two one after the other, and a rotation in between makes them differ.
 */
export function openVaultKubernetesKmsEnvelope(ciphertext: Uint8Array): OpenedEnvelope {
  return openCiphertext(readText(ciphertext))
}

/** Splits a Transit ciphertext; CIPHERTEXT_INVALID for anything else. */
export function openCiphertext(
  ciphertext: string,
): Pick<OpenedEnvelope, 'ciphertext' | 'keyVersion'> {
  const keyVersion = readCiphertextVersion(ciphertext)
  if (keyVersion === undefined) {
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      'the ciphertext does not have the form of Transit ("vault:v1:…"); another plugin wrote it, or it is damaged',
    )
  }
  return { ciphertext, keyVersion }
}

/** Ciphertexts are ASCII; other bytes become characters that no pattern matches. */
export function readText(bytes: Uint8Array): string {
  requireSize(bytes)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function requireSize(bytes: Uint8Array): void {
  if (bytes.byteLength > MAX_CIPHERTEXT_BYTES) {
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      `the ciphertext has ${String(bytes.byteLength)} bytes; this plugin produces at most ${String(MAX_CIPHERTEXT_BYTES)}`,
    )
  }
}
