import { createPrivateKey, type KeyObject } from 'node:crypto'
import { BridgeError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { decodeBase64, encodeBase64 } from '../text/base64-bytes.ts'

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

/** Whether a key of this type has a private key in a format that this program knows. */
export function isAsymmetric(type: string): boolean {
  return /^(?:rsa|ecdsa|ed25519)/.test(type)
}

/**
 * Exported material as bytes, which the caller owns and zeroes: PKCS #8 in PEM for a private key (Transit returns
 * PKCS #1, SEC 1 or a bare seed), the key itself for a symmetric one. The material is zeroed.
 */
export function decodeExportedKey(type: string, material: Secret<Buffer>): Buffer {
  const text = material.reveal()
  try {
    if (!isAsymmetric(type)) return requireBase64(text)
    const key = type === 'ed25519' ? readEd25519(text) : createPrivateKey(text)
    return encodePem(key.export({ type: 'pkcs8', format: 'der' }))
  } finally {
    text.fill(0)
  }
}

/** Transit exports the seed followed by the public key (golang.org/x/crypto/ed25519, PrivateKey). */
function readEd25519(text: Buffer): KeyObject {
  const bytes = requireBase64(text)
  const der = Buffer.concat([ED25519_PKCS8, bytes.subarray(0, SEED_LENGTH)])
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    bytes.fill(0)
    der.fill(0)
  }
}

function requireBase64(text: Buffer): Buffer {
  const bytes = decodeBase64(text)
  if (bytes !== undefined) return bytes
  throw new BridgeError('VAULT_ANSWER_INVALID', 'Vault exported a key that is not base64')
}

const PEM_BEGIN = Buffer.from('-----BEGIN PRIVATE KEY-----\n')
const PEM_END = Buffer.from('-----END PRIVATE KEY-----\n')
const NEWLINE = Buffer.from('\n')
const PEM_LINE = 64

/** PEM (RFC 7468), made without strings, which could not be zeroed. */
function encodePem(der: Buffer): Buffer {
  const text = encodeBase64(der)
  const lines: Buffer[] = []
  for (let at = 0; at < text.length; at += PEM_LINE)
    lines.push(text.subarray(at, at + PEM_LINE), NEWLINE)
  try {
    return Buffer.concat([PEM_BEGIN, ...lines, PEM_END])
  } finally {
    der.fill(0)
    text.fill(0)
  }
}
