import { hash } from 'node:crypto'

import { BridgeError } from '../errors.ts'
import { encodeCanonically } from './canonical-encoding.ts'
import { openDerived, sealDerived } from './derived-seal.ts'

/** A local key: what Transit encrypts instead of each DEK seed (docs/design.md, "Local keys"). */
export const LOCAL_KEY_BYTES = 32

const KEY_DOMAIN = Buffer.from('transit-bridge/local-key/v1')
const SEAL_DOMAIN = 'transit-bridge/local-seal/v1'

/** A DEK seed under a local key, and what is authenticated with it. */
export interface SealedSeed {
  /** As {@link sealSeed} returned it. */
  readonly bytes: Uint8Array
  readonly associatedData: Uint8Array
  /** The key id and the cluster that were stored with it. */
  readonly keyId: string
  readonly clusterId: string
}

/**
 * The AAD with which Transit encrypts a local key. It differs from that of a DEK seed, so neither can be passed off as the
 * other, and it names the cluster.
 */
export function encodeLocalKeyAssociatedData(clusterId: string): Buffer {
  return encodeCanonically(KEY_DOMAIN, [clusterId])
}

const KEY_CONTEXT = encodeCanonically(KEY_DOMAIN, [])

/** Whether an AAD is that of a local key, of any cluster, and not that of a DEK seed. */
export function isLocalKeyContext(associatedData: Uint8Array | undefined): boolean {
  return KEY_CONTEXT.equals(associatedData?.subarray(0, KEY_CONTEXT.length) ?? Buffer.alloc(0))
}

/**
 * Encrypts a DEK seed under a local key.
 *
 * @param salt see {@link sealDerived}
 */
export function sealSeed(
  localKey: Uint8Array,
  seed: Uint8Array,
  associatedData: Uint8Array,
  salt?: Buffer,
): Buffer {
  return sealDerived(localKey, SEAL_DOMAIN, seed, associatedData, salt)
}

type Sealed = Pick<SealedSeed, 'bytes' | 'associatedData'>

/** Decrypts what {@link sealSeed} returned; the caller owns the seed and zeroes it. Throws CIPHERTEXT_INVALID. */
export function openSeed(localKey: Uint8Array, sealed: Sealed): Buffer {
  const seed = tryToOpen(localKey, sealed)
  if (seed !== undefined) return seed
  throw new BridgeError(
    'CIPHERTEXT_INVALID',
    'the DEK seed does not match its local key and annotations; the data was changed',
  )
}

/** Whether a local key decrypts a DEK seed. Throws CIPHERTEXT_INVALID if it is not a local key. */
export function doesOpenSeed(localKey: Uint8Array, sealed: Sealed): boolean {
  const seed = tryToOpen(localKey, sealed)
  seed?.fill(0)
  return seed !== undefined
}

function tryToOpen(localKey: Uint8Array, { bytes, associatedData }: Sealed): Buffer | undefined {
  requireLocalKey(localKey)
  return openDerived(localKey, SEAL_DOMAIN, bytes, associatedData)
}

/** Throws CIPHERTEXT_INVALID if what Transit decrypted is not a local key. */
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

/** Identifies an encrypted local key: two are equal only if ciphertext and AAD are. */
export function identifyLocalKey({ ciphertext, associatedData }: WrappedLocalKey): string {
  const text = Buffer.from(`${String(ciphertext.length)}:${ciphertext}`)
  // It needs no length: it is the last part.
  const parts = associatedData === undefined ? text : Buffer.concat([text, associatedData])
  return hash('sha256', parts, 'base64')
}
