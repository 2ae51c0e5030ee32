import { createDecipheriv, createHmac } from 'node:crypto'

import type { KmsV1Value, KmsV2Value } from './stored-value.ts'

const INFO_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const BLOCK_BYTES = 16
const SEED_BYTES = 32
const KEY_SIZES: readonly number[] = [16, 24, 32]

/**
 * Decrypts an object with its DEK source and returns why that fails; undefined if it succeeds. The plaintext is zeroed and
 * never returned. The etcd key is associated data: an object that was copied to another key cannot be decrypted.
 */
export function findPayloadFault(
  value: KmsV1Value | KmsV2Value,
  source: Buffer,
  etcdKey: Uint8Array,
): string | undefined {
  if (value.kind === 'kms-v1') return findV1Fault(value.payload, source, etcdKey)
  if (value.isSeed) return findSeededFault(value.payload, source, etcdKey)
  if (!KEY_SIZES.includes(source.length)) return 'its DEK does not have the length of an AES key'
  return opensGcm(value.payload, source, etcdKey) ? undefined : CHANGED
}

const CHANGED =
  'its data does not match its DEK and this etcd key; it was changed, or copied from another key'

/** The key is HKDF-Expand(seed, info), and the payload starts with info (apiserver: pkg/storage/value/encrypt/aes/aes_extended_nonce.go). */
function findSeededFault(
  payload: Uint8Array,
  seed: Buffer,
  etcdKey: Uint8Array,
): string | undefined {
  if (seed.length < SEED_BYTES) return 'its DEK seed is shorter than 32 bytes'
  if (payload.length < INFO_BYTES + NONCE_BYTES + TAG_BYTES) return 'its data is too short'
  // One round yields all 32 bytes (RFC 5869, section 2.3).
  const key = createHmac('sha256', seed)
    .update(payload.subarray(0, INFO_BYTES))
    .update(Buffer.of(1))
    .digest()
  try {
    return opensGcm(payload.subarray(INFO_BYTES), key, etcdKey) ? undefined : CHANGED
  } finally {
    key.fill(0)
  }
}

/** AES-GCM since Kubernetes 1.25, AES-CBC before; API servers still read both (apiserver: pkg/storage/value/encrypt/envelope/envelope.go). */
function findV1Fault(payload: Uint8Array, key: Buffer, etcdKey: Uint8Array): string | undefined {
  if (!KEY_SIZES.includes(key.length)) return 'its DEK does not have the length of an AES key'
  if (opensGcm(payload, key, etcdKey) || opensCbc(payload, key)) return undefined
  return CHANGED
}

function opensGcm(payload: Uint8Array, key: Buffer, etcdKey: Uint8Array): boolean {
  if (payload.length < NONCE_BYTES + TAG_BYTES) return false
  const end = payload.length - TAG_BYTES
  const cipher = `aes-${String(key.length * 8) as '128' | '192' | '256'}-gcm` as const
  const decipher = createDecipheriv(cipher, key, payload.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(etcdKey)
  decipher.setAuthTag(payload.subarray(end))
  const plaintext = decipher.update(payload.subarray(NONCE_BYTES, end))
  try {
    decipher.final()
    return true
  } catch {
    return false
  } finally {
    plaintext.fill(0)
  }
}

/** CBC does not authenticate: the plaintext must at least start like an object. */
function opensCbc(payload: Uint8Array, key: Buffer): boolean {
  if (payload.length < 2 * BLOCK_BYTES || payload.length % BLOCK_BYTES !== 0) return false
  const cipher = `aes-${String(key.length * 8)}-cbc`
  const decipher = createDecipheriv(cipher, key, payload.subarray(0, BLOCK_BYTES))
  const parts = [decipher.update(payload.subarray(BLOCK_BYTES))]
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
