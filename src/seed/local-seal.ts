import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

import { BridgeError } from '../errors.ts'
import { encodeCanonically } from './canonical-encoding.ts'

/** A local key: what Transit encrypts instead of each DEK seed (docs/design.md, "Local keys"). */
export const LOCAL_KEY_BYTES = 32

const CIPHER = 'aes-256-gcm'
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_DOMAIN = 'transit-bridge/local-key/v1'
const SEAL_DOMAIN = 'transit-bridge/local-seal/v1'

/** A DEK seed under a local key, and what is authenticated with it. */
export interface SealedSeed {
  /** Salt, ciphertext and tag. */
  readonly bytes: Uint8Array
  readonly associatedData: Uint8Array
  /** The key id that was stored with it. */
  readonly keyId: string
}

/**
 * The AAD with which Transit encrypts a local key. It differs from that of a DEK seed, so neither can be passed off as the
 * other, and it names the cluster.
 */
export function encodeLocalKeyAssociatedData(clusterId: string): Buffer {
  return encodeCanonically(KEY_DOMAIN, [clusterId])
}

/**
 * Encrypts a DEK seed under a local key with AES-256-GCM. Each message has its own key and nonce, which HKDF-SHA256 (RFC 5869)
 * derives from the local key and 32 random bytes, so that nonces cannot collide however often a local key is used.
 */
export function sealSeed(
  localKey: Uint8Array,
  seed: Uint8Array,
  associatedData: Uint8Array,
): Buffer {
  const salt = randomBytes(SALT_BYTES)
  const { key, nonce, wipe } = deriveKey(localKey, salt)
  try {
    const cipher = createCipheriv(CIPHER, key, nonce)
    cipher.setAAD(associatedData)
    return Buffer.concat([salt, cipher.update(seed), cipher.final(), cipher.getAuthTag()])
  } finally {
    wipe()
  }
}

/** Decrypts what {@link sealSeed} returned; the caller owns the seed and zeroes it. Throws CIPHERTEXT_INVALID. */
export function openSeed(
  localKey: Uint8Array,
  { bytes, associatedData }: Omit<SealedSeed, 'keyId'>,
): Buffer {
  requireLocalKey(localKey)
  if (bytes.byteLength < SALT_BYTES + TAG_BYTES) throw damaged()
  const end = bytes.byteLength - TAG_BYTES
  const { key, nonce, wipe } = deriveKey(localKey, bytes.subarray(0, SALT_BYTES))
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(associatedData)
  decipher.setAuthTag(bytes.subarray(end))
  const seed = decipher.update(bytes.subarray(SALT_BYTES, end))
  try {
    decipher.final()
    return seed
  } catch (cause) {
    seed.fill(0)
    throw damaged(cause)
  } finally {
    wipe()
  }
}

/** Throws CIPHERTEXT_INVALID for something that Transit decrypted and that is no local key. */
export function requireLocalKey(bytes: Uint8Array): void {
  if (bytes.byteLength === LOCAL_KEY_BYTES) return
  throw new BridgeError(
    'CIPHERTEXT_INVALID',
    'the annotation does not contain a local key; the data was changed',
  )
}

/** A local key as Transit encrypted it. */
export interface WrappedLocalKey {
  readonly ciphertext: string
  readonly associatedData?: Uint8Array | undefined
}

/** The same for the same wrapped local key, and different for any other. */
export function identifyLocalKey({ ciphertext, associatedData }: WrappedLocalKey): string {
  const hash = createHash('sha256').update(`${String(ciphertext.length)}:${ciphertext}`)
  // It needs no length: it is the last part.
  if (associatedData !== undefined) hash.update(associatedData)
  return hash.digest('base64')
}

function deriveKey(localKey: Uint8Array, salt: Uint8Array) {
  const bytes = Buffer.from(
    hkdfSync('sha256', localKey, salt, SEAL_DOMAIN, LOCAL_KEY_BYTES + NONCE_BYTES),
  )
  return {
    key: bytes.subarray(0, LOCAL_KEY_BYTES),
    nonce: bytes.subarray(LOCAL_KEY_BYTES),
    wipe: () => void bytes.fill(0),
  }
}

function damaged(cause?: unknown): BridgeError {
  return new BridgeError(
    'CIPHERTEXT_INVALID',
    'the DEK seed does not match its local key and annotations; the data was changed',
    { cause },
  )
}
