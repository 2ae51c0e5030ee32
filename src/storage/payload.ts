import { createDecipheriv, createHmac } from 'node:crypto'

import { GCM_NONCE_BYTES, GCM_TAG_BYTES, openGcm } from '../seed/gcm.ts'

import type { KmsV1Value, KmsV2Value } from './stored-value.ts'

const INFO_BYTES = 32
const BLOCK_BYTES = 16
const SEED_BYTES = 32
const KEY_SIZES: readonly number[] = [16, 24, 32]

/** The plaintext of an object, which the receiver owns and zeroes, or why its DEK source does not decrypt it. */
export type OpenedPayload = Buffer | string

/**
 * Decrypts an object with its DEK source. The etcd key is associated data: an object that was copied to another key cannot be
 * decrypted.
 */
export function openPayload(
  value: KmsV1Value | KmsV2Value,
  source: Buffer,
  etcdKey: Uint8Array,
): OpenedPayload {
  if (value.kind === 'kms-v1') return openV1Payload(value.payload, source, etcdKey)
  if (value.isSeed) return openSeeded(value.payload, source, etcdKey)
  if (!KEY_SIZES.includes(source.length)) return 'its DEK does not have the length of an AES key'
  return openNonceAndGcm(value.payload, source, etcdKey) ?? CHANGED
}

/** The same for a check: returns why it fails, or undefined. The plaintext is zeroed and never returned. */
export function findPayloadFault(
  value: KmsV1Value | KmsV2Value,
  source: Buffer,
  etcdKey: Uint8Array,
): string | undefined {
  const opened = openPayload(value, source, etcdKey)
  if (typeof opened === 'string') return opened
  opened.fill(0)
  return undefined
}

const CHANGED =
  'its data does not match its DEK and this etcd key; it was changed, or copied from another key'

/**
 * The key is HKDF-Expand(seed, info), and the payload starts with info (apiserver:
 * pkg/storage/value/encrypt/aes/aes_extended_nonce.go).
 */
function openSeeded(payload: Uint8Array, seed: Buffer, etcdKey: Uint8Array): OpenedPayload {
  if (seed.length < SEED_BYTES) return 'its DEK seed is shorter than 32 bytes'
  if (payload.length < INFO_BYTES + GCM_NONCE_BYTES + GCM_TAG_BYTES) return 'its data is too short'
  // One round yields all 32 bytes (RFC 5869, section 2.3).
  const key = createHmac('sha256', seed)
    .update(payload.subarray(0, INFO_BYTES))
    .update(Buffer.of(1))
    .digest()
  try {
    return openNonceAndGcm(payload.subarray(INFO_BYTES), key, etcdKey) ?? CHANGED
  } finally {
    key.fill(0)
  }
}

/**
 * AES-GCM since Kubernetes 1.25, AES-CBC before; API servers still read both (apiserver:
 * pkg/storage/value/encrypt/envelope/envelope.go).
 */
function openV1Payload(payload: Uint8Array, key: Buffer, etcdKey: Uint8Array): OpenedPayload {
  if (!KEY_SIZES.includes(key.length)) return 'its DEK does not have the length of an AES key'
  return openNonceAndGcm(payload, key, etcdKey) ?? openCbc(payload, key) ?? CHANGED
}

function openNonceAndGcm(
  payload: Uint8Array,
  key: Buffer,
  etcdKey: Uint8Array,
): Buffer | undefined {
  if (payload.length < GCM_NONCE_BYTES + GCM_TAG_BYTES) return undefined
  return openGcm({
    key,
    nonce: payload.subarray(0, GCM_NONCE_BYTES),
    sealed: payload.subarray(GCM_NONCE_BYTES),
    associatedData: etcdKey,
  })
}

/** CBC does not authenticate, so the plaintext must at least start like an object. */
function openCbc(payload: Uint8Array, key: Buffer): Buffer | undefined {
  if (payload.length < 2 * BLOCK_BYTES || payload.length % BLOCK_BYTES !== 0) return undefined
  const cipher = `aes-${String(key.length * 8)}-cbc`
  const decipher = createDecipheriv(cipher, key, payload.subarray(0, BLOCK_BYTES))
  const parts = [decipher.update(payload.subarray(BLOCK_BYTES))]
  try {
    parts.push(decipher.final())
    const first = parts.find(({ length }) => length > 0)
    const isObject = first !== undefined && /^(k8s\0|\{)/.test(first.toString('latin1', 0, 4))
    return isObject ? Buffer.concat(parts) : undefined
  } catch {
    return undefined
  } finally {
    for (const part of parts) part.fill(0)
  }
}
