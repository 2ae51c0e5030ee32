import { BridgeError } from '../errors.ts'
import { findWrappedKey } from '../seed/annotations.ts'
import {
  isVaultKubernetesKmsEnvelope,
  openCiphertext,
  openEnvelope,
  openVaultKubernetesKmsEnvelope,
  readText,
  type OpenedEnvelope,
} from '../seed/envelope.ts'
import { isOwnKeyId } from '../seed/key-id.ts'
import { openV1Cipher } from '../seed/v1-cipher.ts'
import { readCiphertextVersion } from '../transit/ciphertext.ts'
import type { KmsV1Value, KmsV2Value, StoredValue } from './stored-value.ts'

/**
 * The Transit key version that a wrapped DEK source needs: its own, or that of its local key. Undefined if neither is a
 * Transit ciphertext.
 */
export function keyVersionOf(value: KmsV1Value | KmsV2Value): number | undefined {
  const wrappedKey = value.kind === 'kms-v2' ? findWrappedKey(value.annotations) : undefined
  if (wrappedKey !== undefined) return readCiphertextVersion(readText(wrappedKey))
  const text = textOf(value)
  if (value.kind === 'kms-v1') {
    const own = text.startsWith('transit-bridge:') ? text.slice(text.indexOf('vault:')) : text
    return readCiphertextVersion(own)
  }
  return readCiphertextVersion(text)
}

/** Whether an annotation contains a local key. Nothing is checked. */
export function isUnderLocalKey(value: StoredValue): boolean {
  return value.kind === 'kms-v2' && findWrappedKey(value.annotations) !== undefined
}

/** Whether this plugin wrote it, even if it was damaged later. */
export function isOwn(value: KmsV1Value | KmsV2Value): boolean {
  if (value.kind === 'kms-v1') return textOf(value).startsWith('transit-bridge:')
  const names = Object.keys(value.annotations)
  return isOwnKeyId(value.keyId) || names.some((name) => OWN_ANNOTATION.test(name))
}

const OWN_ANNOTATION = /\.transit-bridge\.internal$/

/**
 * Opens a DEK source for Transit; undefined for data of another plugin, except vault-kubernetes-kms if kms.acceptFrom names it.
 * Throws CIPHERTEXT_INVALID or ANNOTATIONS_INVALID for damaged data of this plugin.
 */
export function openSource(
  value: KmsV1Value | KmsV2Value,
  acceptVaultKubernetesKms: boolean,
): OpenedEnvelope | undefined {
  if (value.kind === 'kms-v1') return openV1Source(value, acceptVaultKubernetesKms)
  const { source: ciphertext, keyId, annotations } = value
  const envelope = { ciphertext, keyId, annotations }
  if (isOwn(value)) return openEnvelope(envelope)
  if (!acceptVaultKubernetesKms || !isVaultKubernetesKmsEnvelope(envelope)) return undefined
  return openVaultKubernetesKmsEnvelope(ciphertext)
}

function openV1Source(value: KmsV1Value, accept: boolean): OpenedEnvelope | undefined {
  const own = openV1Cipher(textOf(value))
  if (own !== undefined) return own
  if (isOwn(value)) throw new BridgeError('CIPHERTEXT_INVALID', 'the wrapped DEK is damaged')
  return accept && keyVersionOf(value) !== undefined ? openCiphertext(textOf(value)) : undefined
}

function textOf({ source }: KmsV1Value | KmsV2Value): string {
  return readText(source)
}
