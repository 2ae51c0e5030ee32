import { createDecipheriv, createHmac } from 'node:crypto'

import type { KmsV1Value, KmsV2Value } from './stored-value.ts'

const INFO = 32
const NONCE = 12
const TAG = 16
const BLOCK = 16
const SEED = 32
const KEY_SIZES: readonly number[] = [16, 24, 32]

/**
 * Whether an object can be decrypted with its DEK source: undefined, or why not. What is decrypted is zeroed, never
 * returned. `etcdKey` is authenticated with it: an object that was copied to another place cannot be read.
 */
export function findPayloadFault(
  value: KmsV1Value | KmsV2Value,
  source: Buffer,
  etcdKey: Uint8Array,
): string | undefined {
  if (value.kind === 'kms-v1') return findV1Fault(value.payload, source, etcdKey)
  if (value.isSeed) return findSeededFault(value.payload, source, etcdKey)
  if (!KEY_SIZES.includes(source.length)) return 'its DEK has a length that no AES key has'
  return opensGcm(value.payload, source, etcdKey) ? undefined : CHANGED
}

const CHANGED =
  'its data does not belong to its DEK and this etcd key; it was changed, or copied from another place'

/** The key is HKDF-Expand(seed, info), and `info` stands in front (encrypt/aes/aes_extended_nonce.go). */
function findSeededFault(
  payload: Uint8Array,
  seed: Buffer,
  etcdKey: Uint8Array,
): string | undefined {
  if (seed.length < SEED) return 'its DEK seed is shorter than 32 bytes'
  if (payload.length < INFO + NONCE + TAG) return 'its data is too short'
  // One round of RFC 5869 gives all of the 32 bytes.
  const key = createHmac('sha256', seed)
    .update(payload.subarray(0, INFO))
    .update(Buffer.of(1))
    .digest()
  try {
    return opensGcm(payload.subarray(INFO), key, etcdKey) ? undefined : CHANGED
  } finally {
    key.fill(0)
  }
}

/** AES-GCM since Kubernetes 1.25, AES-CBC before (envelope/envelope.go); both are still read. */
function findV1Fault(payload: Uint8Array, key: Buffer, etcdKey: Uint8Array): string | undefined {
  if (!KEY_SIZES.includes(key.length)) return 'its DEK has a length that no AES key has'
  if (opensGcm(payload, key, etcdKey) || opensCbc(payload, key)) return undefined
  return CHANGED
}

function opensGcm(payload: Uint8Array, key: Buffer, etcdKey: Uint8Array): boolean {
  if (payload.length < NONCE + TAG) return false
  const end = payload.length - TAG
  const cipher = `aes-${String(key.length * 8) as '128' | '192' | '256'}-gcm` as const
  const decipher = createDecipheriv(cipher, key, payload.subarray(0, NONCE), {
    authTagLength: TAG,
  })
  decipher.setAAD(etcdKey)
  decipher.setAuthTag(payload.subarray(end))
  const plaintext = decipher.update(payload.subarray(NONCE, end))
  try {
    decipher.final()
    return true
  } catch {
    return false
  } finally {
    plaintext.fill(0)
  }
}

/** CBC authenticates nothing: what comes out must at least begin as objects do. */
function opensCbc(payload: Uint8Array, key: Buffer): boolean {
  if (payload.length < 2 * BLOCK || payload.length % BLOCK !== 0) return false
  const cipher = `aes-${String(key.length * 8)}-cbc`
  const decipher = createDecipheriv(cipher, key, payload.subarray(0, BLOCK))
  const parts = [decipher.update(payload.subarray(BLOCK))]
  try {
    parts.push(decipher.final())
    const first = parts.find(({ length }) => length > 0)
    return first !== undefined && /^(k8s\0|\{)/.test(first.toString('latin1', 0, 4))
  } catch {
    return false
  } finally {
    for (const part of parts) part.fill(0)
  }
}
