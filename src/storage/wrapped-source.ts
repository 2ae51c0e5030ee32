import { BridgeError } from '../errors.ts'
import {
  isVaultKubernetesKmsEnvelope,
  openCiphertext,
  openEnvelope,
  openVaultKubernetesKmsEnvelope,
  readText,
  type OpenedEnvelope,
} from '../seed/envelope.ts'
import { openV1Cipher } from '../seed/v1-cipher.ts'
import { readCiphertextVersion } from '../transit/ciphertext.ts'
import type { KmsV1Value, KmsV2Value } from './stored-value.ts'

/** A DEK source as Transit takes it, with the cluster that it says it is of. */
export interface WrappedSource {
  readonly opened: OpenedEnvelope
  readonly clusterId?: string
}

/** The Transit key version that a wrapped DEK source names; undefined if it is not of Transit. */
export function keyVersionOf(value: KmsV1Value | KmsV2Value): number | undefined {
  const text = textOf(value)
  if (value.kind === 'kms-v1') {
    const own = text.startsWith('transit-bridge:') ? text.slice(text.indexOf('vault:')) : text
    return readCiphertextVersion(own)
  }
  return readCiphertextVersion(text)
}

/** Whether this plugin wrote it, or it was damaged so little that it still says so. */
export function isOwn(value: KmsV1Value | KmsV2Value): boolean {
  if (value.kind === 'kms-v1') return textOf(value).startsWith('transit-bridge:')
  const names = Object.keys(value.annotations)
  return value.keyId.startsWith('tb1-') || names.some((name) => OWN_ANNOTATION.test(name))
}

const OWN_ANNOTATION = /\.transit-bridge\.internal$/

/**
 * What Transit is to be asked; undefined for data of another plugin, unless it is vault-kubernetes-kms and its data is
 * accepted (kms.acceptFrom). Throws CIPHERTEXT_INVALID or ANNOTATIONS_INVALID for data of ours that is damaged.
 */
export function openSource(
  value: KmsV1Value | KmsV2Value,
  acceptVaultKubernetesKms: boolean,
): WrappedSource | undefined {
  if (value.kind === 'kms-v1') return openV1Source(value, acceptVaultKubernetesKms)
  const { source: ciphertext, keyId, annotations } = value
  const envelope = { ciphertext, keyId, annotations }
  if (isOwn(value)) {
    const opened = openEnvelope(envelope)
    return opened.claim === undefined ? { opened } : { opened, clusterId: opened.claim.clusterId }
  }
  if (!acceptVaultKubernetesKms || !isVaultKubernetesKmsEnvelope(envelope)) return undefined
  return { opened: openVaultKubernetesKmsEnvelope(ciphertext) }
}

function openV1Source(value: KmsV1Value, accept: boolean): WrappedSource | undefined {
  const own = openV1Cipher(textOf(value))
  if (own !== undefined) return own
  if (isOwn(value)) throw new BridgeError('CIPHERTEXT_INVALID', 'the wrapped DEK is damaged')
  return accept && keyVersionOf(value) !== undefined
    ? { opened: openCiphertext(textOf(value)) }
    : undefined
}

function textOf({ source }: KmsV1Value | KmsV2Value): string {
  return readText(source)
}
