import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto'

import { GCM_NONCE_BYTES, openGcm } from './gcm.ts'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
export const SALT_BYTES = 32

/**
 * Encrypts with AES-256-GCM. Each message has its own key and nonce, which HKDF-SHA256 (RFC 5869) derives from `key` and 32
 * random bytes, so that nonces do not collide, no matter how often `key` is used. `domain` separates the purposes of a key. Returns
 * salt, ciphertext and tag.
 *
 * @param salt these 32 random bytes, used for nothing else. Default: new ones.
 */
export function sealDerived(
  key: Uint8Array,
  domain: string,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
  salt: Buffer = randomBytes(SALT_BYTES),
): Buffer {
  const derived = derive(key, salt, domain)
  try {
    const cipher = createCipheriv(CIPHER, derived.key, derived.nonce)
    cipher.setAAD(associatedData)
    return Buffer.concat([salt, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  } finally {
    derived.wipe()
  }
}

/** Decrypts what {@link sealDerived} returned; the caller owns the plaintext and zeroes it. Undefined if anything differs. */
export function openDerived(
  key: Uint8Array,
  domain: string,
  sealed: Uint8Array,
  associatedData: Uint8Array,
): Buffer | undefined {
  if (sealed.byteLength < SALT_BYTES) return undefined
  const { key: derivedKey, nonce, wipe } = derive(key, sealed.subarray(0, SALT_BYTES), domain)
  try {
    const rest = sealed.subarray(SALT_BYTES)
    return openGcm({ key: derivedKey, nonce, sealed: rest, associatedData })
  } finally {
    wipe()
  }
}

function derive(key: Uint8Array, salt: Uint8Array, domain: string) {
  const bytes = Buffer.from(hkdfSync('sha256', key, salt, domain, KEY_BYTES + GCM_NONCE_BYTES))
  return {
    key: bytes.subarray(0, KEY_BYTES),
    nonce: bytes.subarray(KEY_BYTES),
    wipe: () => void bytes.fill(0),
  }
}
