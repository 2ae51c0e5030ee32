import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import {
  EncryptedDEKSourceType,
  EncryptedObjectSchema,
} from '../../src/gen/etcd/v2/encrypted_object_pb.ts'
import { makeAnnotations } from '../../src/seed/annotations.ts'

export type Envelope = {
  provider: string
  keyId: string
  /** What Encrypt answered. */
  source: Uint8Array
  annotations: Record<string, Uint8Array>
  type: EncryptedDEKSourceType
  data: Uint8Array
}

export const OURS: Envelope = {
  provider: 'transit-bridge',
  keyId: 'tb1-example',
  source: Buffer.from('vault:v3:QUJD'),
  annotations: { ...makeAnnotations('test-cluster') },
  type: EncryptedDEKSourceType.HKDF_SHA256_XNONCE_AES_GCM_SEED,
  data: Buffer.alloc(61, 1),
}

/** The namespace that every cluster has: a store without it is not the main store of a cluster. */
export const KUBE_SYSTEM = ['/registry/namespaces/kube-system', Buffer.from('k8s\0')] as const

/** A value as kube-apiserver stores it under KMS v2. */
export function kmsV2Value(envelope: Partial<Envelope> = {}): Buffer {
  const { provider, keyId, source, annotations, type, data } = { ...OURS, ...envelope }
  const object = create(EncryptedObjectSchema, {
    encryptedData: data,
    keyID: keyId,
    encryptedDEKSource: source,
    annotations,
    encryptedDEKSourceType: type,
  })
  return Buffer.concat([
    Buffer.from(`k8s:enc:kms:v2:${provider}:`),
    toBinary(EncryptedObjectSchema, object),
  ])
}

/** A value as kube-apiserver stores it under KMS v1. */
export function kmsV1Value(provider: string, source: Uint8Array, payload: Uint8Array): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(source.length)
  return Buffer.concat([Buffer.from(`k8s:enc:kms:v1:${provider}:`), length, source, payload])
}

/** As kube-apiserver encrypts an object with a seed; `info` and nonce are random unless they are given. */
export function sealBySeed(
  seed: Uint8Array,
  etcdKey: string,
  plaintext: string,
  info: Uint8Array = randomBytes(32),
  nonce: Uint8Array = randomBytes(12),
): Buffer {
  const key = createHmac('sha256', seed).update(info).update(Buffer.of(1)).digest()
  return Buffer.concat([info, sealByKey(key, etcdKey, plaintext, nonce)])
}

export function sealByKey(
  key: Uint8Array,
  etcdKey: string,
  plaintext: string,
  nonce: Uint8Array = randomBytes(12),
): Buffer {
  const cipher = createCipheriv(`aes-${String(key.length * 8)}-gcm` as 'aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(etcdKey))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** As kube-apiserver encrypted an object under KMS v1 before 1.25. */
export function sealByCbc(key: Uint8Array, plaintext: string): Buffer {
  const iv = randomBytes(16)
  const cipher = createCipheriv(`aes-${String(key.length * 8)}-cbc`, key, iv)
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final()])
}
