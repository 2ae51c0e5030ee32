import { createDecipheriv } from 'node:crypto'

export const GCM_NONCE_BYTES = 12
export const GCM_TAG_BYTES = 16

/** The input of AES-GCM. The length of the key selects AES-128, AES-192 or AES-256. */
export interface GcmInput {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  /** Ciphertext and tag. */
  readonly sealed: Uint8Array
  readonly associatedData: Uint8Array
}

/** Decrypts; the caller owns the plaintext and zeroes it. Undefined if anything does not match the tag. */
export function openGcm({ key, nonce, sealed, associatedData }: GcmInput): Buffer | undefined {
  const end = sealed.byteLength - GCM_TAG_BYTES
  if (end < 0) return undefined
  const cipher = `aes-${String(key.byteLength * 8) as '128' | '192' | '256'}-gcm` as const
  const decipher = createDecipheriv(cipher, key, nonce, { authTagLength: GCM_TAG_BYTES })
  decipher.setAAD(associatedData)
  decipher.setAuthTag(sealed.subarray(end))
  const plaintext = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}
