import { createPrivateKey } from 'node:crypto'
import type { Secret } from '../secret.ts'

/** The kinds of key material that Transit exports, as its paths name them. */
export type ExportKind = 'encryption-key' | 'signing-key' | 'hmac-key'

/** DER of PrivateKeyInfo for Ed25519 up to its 32-byte seed (RFC 8410 §7). */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SEED_LENGTH = 32

/** The path under which Transit exports a key of this type. RSA keys have two, with the same material. */
export function exportKindOf(type: string): ExportKind {
  if (type === 'hmac') return 'hmac-key'
  return isAsymmetric(type) ? 'signing-key' : 'encryption-key'
}

/** Whether a key of this type has a private key whose format is known here. */
export function isAsymmetric(type: string): boolean {
  return /^(?:rsa|ecdsa|ed25519)/.test(type)
}

/**
 * Exported material as bytes, which the caller owns and zeroes: PKCS #8 in PEM for a private key (Transit returns
 * PKCS #1, SEC 1 or a bare seed), the key itself for a symmetric one.
 */
export function decodeExportedKey(type: string, material: Secret<string>): Buffer {
  if (!isAsymmetric(type)) return Buffer.from(material.reveal(), 'base64')
  const key =
    type === 'ed25519' ? readEd25519(material.reveal()) : createPrivateKey(material.reveal())
  return Buffer.from(key.export({ type: 'pkcs8', format: 'pem' }))
}

/** Transit exports the seed followed by the public key (golang.org/x/crypto/ed25519, PrivateKey). */
function readEd25519(material: string) {
  const bytes = Buffer.from(material, 'base64')
  const der = Buffer.concat([ED25519_PKCS8, bytes.subarray(0, SEED_LENGTH)])
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    bytes.fill(0)
    der.fill(0)
  }
}
