import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Encrypts with AES-256-GCM. Each message has its own key and nonce, which HKDF-SHA256 (RFC 5869) derives from `key` and 32
 * random bytes, so that nonces cannot collide however often a key is used. `domain` separates the uses of a key. Returns
 * salt, ciphertext and tag.
 */
export function sealDerived(
  key: Uint8Array,
  domain: string,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
): Buffer {
  const salt = randomBytes(SALT_BYTES)
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
  if (sealed.byteLength < SALT_BYTES + TAG_BYTES) return undefined
  const end = sealed.byteLength - TAG_BYTES
  const derived = derive(key, sealed.subarray(0, SALT_BYTES), domain)
  const decipher = createDecipheriv(CIPHER, derived.key, derived.nonce, {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(associatedData)
  decipher.setAuthTag(sealed.subarray(end))
  const plaintext = decipher.update(sealed.subarray(SALT_BYTES, end))
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  } finally {
    derived.wipe()
  }
}

function derive(key: Uint8Array, salt: Uint8Array, domain: string) {
  const bytes = Buffer.from(hkdfSync('sha256', key, salt, domain, KEY_BYTES + NONCE_BYTES))
  return {
    key: bytes.subarray(0, KEY_BYTES),
    nonce: bytes.subarray(KEY_BYTES),
    wipe: () => void bytes.fill(0),
  }
}
