import { makeAnnotations, encodeAssociatedData } from './annotations.ts'
import { openCiphertext, type OpenedEnvelope } from './envelope.ts'

/**
 * KMS v1 stores one byte string and nothing beside it, so the cluster id travels inside:
 * `transit-bridge:v1:<cluster id, base64url>:vault:v<version>:<base64>`.
 */
const CIPHER = /^transit-bridge:v1:([A-Za-z0-9_-]+):(vault:.+)$/
const API_KEY = 'api.transit-bridge.internal'

/** The additional data of a KMS v1 cipher: never that of a KMS v2 ciphertext, so neither passes for the other. */
export function encodeV1AssociatedData(clusterId: string): Buffer {
  return encodeAssociatedData({ ...makeAnnotations(clusterId), [API_KEY]: Buffer.from('v1beta1') })
}

export function makeV1Cipher(clusterId: string, ciphertext: string): Buffer {
  const cluster = Buffer.from(clusterId).toString('base64url')
  return Buffer.from(`transit-bridge:v1:${cluster}:${ciphertext}`, 'latin1')
}

/** The cipher with the cluster it names; undefined if this plugin did not write it. */
export function openV1Cipher(
  cipher: string,
): { readonly opened: OpenedEnvelope; readonly clusterId: string } | undefined {
  const match = CIPHER.exec(cipher)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  const clusterId = Buffer.from(match[1], 'base64url').toString('utf8')
  // base64url may be written in several ways; what is not as we write it was changed.
  if (makeV1Cipher(clusterId, match[2]).toString('latin1') !== cipher) return undefined
  const associatedData = encodeV1AssociatedData(clusterId)
  return { opened: { ...openCiphertext(match[2]), associatedData }, clusterId }
}
