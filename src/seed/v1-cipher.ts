import { makeAnnotations, encodeAssociatedData } from './annotations.ts'
import { openCiphertext, type OpenedEnvelope } from './envelope.ts'

/**
 * KMS v1 stores one byte string and nothing with it, so the cluster id is part of it:
 * `transit-bridge:v1:<cluster id, base64url>:vault:v<version>:<base64>`.
 */
const CIPHER = /^transit-bridge:v1:([A-Za-z0-9_-]+):(vault:.+)$/
const API_KEY = 'api.transit-bridge.internal'

/** The AAD of a KMS v1 cipher. It differs from that of KMS v2, so data of one API never opens as data of the other. */
export function encodeV1AssociatedData(clusterId: string): Buffer {
  return encodeAssociatedData({ ...makeAnnotations(clusterId), [API_KEY]: Buffer.from('v1beta1') })
}

/** Puts the cluster id in front of a Transit ciphertext. */
export function makeV1Cipher(clusterId: string, ciphertext: string): Buffer {
  const cluster = Buffer.from(clusterId).toString('base64url')
  return Buffer.from(`transit-bridge:v1:${cluster}:${ciphertext}`, 'latin1')
}

/** Opens a cipher of this plugin; undefined for one of another plugin. */
export function openV1Cipher(cipher: string): OpenedEnvelope | undefined {
  const match = CIPHER.exec(cipher)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  const clusterId = Buffer.from(match[1], 'base64url').toString('utf8')
  // The same bytes have several base64url forms; only the one that this plugin writes is accepted.
  if (makeV1Cipher(clusterId, match[2]).toString('latin1') !== cipher) return undefined
  return {
    ...openCiphertext(match[2]),
    associatedData: encodeV1AssociatedData(clusterId),
    claim: { clusterId },
  }
}
