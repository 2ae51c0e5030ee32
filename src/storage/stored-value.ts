import { fromBinary } from '@bufbuild/protobuf'
import {
  EncryptedDEKSourceType,
  EncryptedObjectSchema,
  type EncryptedObject,
} from '../gen/etcd/v2/encrypted_object_pb.ts'

export type LocalScheme = 'aescbc' | 'aesgcm' | 'secretbox'
export type Encoding = 'json' | 'protobuf' | 'cbor' | 'unknown'

/** A KMS v1 value: the DEK, wrapped by the plugin, and the data that it encrypts. */
export interface KmsV1Value {
  readonly kind: 'kms-v1'
  readonly provider: string
  readonly source: Uint8Array
  readonly payload: Uint8Array
}

/** A KMS v2 value: the response of the plugin's Encrypt, and the data that the DEK source encrypts. */
export interface KmsV2Value {
  readonly kind: 'kms-v2'
  readonly provider: string
  readonly keyId: string
  /** The wrapped DEK source: the ciphertext of the Encrypt response. */
  readonly source: Uint8Array
  readonly annotations: Readonly<Record<string, Uint8Array>>
  /** Whether the source is a seed (always since Kubernetes 1.29) or a DEK. */
  readonly isSeed: boolean
  readonly payload: Uint8Array
}

/** What can be read of an etcd value without a key. */
export type StoredValue =
  | KmsV1Value
  | KmsV2Value
  | { readonly kind: 'local'; readonly scheme: LocalScheme; readonly keyName: string }
  | { readonly kind: 'plain'; readonly encoding: Encoding }
  | { readonly kind: 'damaged'; readonly why: string }

const ENCRYPTED = 'k8s:enc:'
/** How much of a value is searched for its prefix. Names of providers have no limit, but no real one is that long. */
const MAX_PREFIX_BYTES = 1024

/**
 * kube-apiserver does not read values that exceed these limits (apiserver: pkg/storage/value/encrypt/envelope/kmsv2/envelope.go,
 * validateEncryptedObject).
 */
const MAX_KEY_ID_BYTES = 1024
const MAX_SOURCE_BYTES = 1024
const MAX_ANNOTATIONS_BYTES = 32 * 1024
/** Nonce and tag of AES-GCM. */
const LEAST_KMS_BYTES = 28
const SOURCE_TYPES: ReadonlySet<number> = new Set(Object.values(EncryptedDEKSourceType))

/** Parses the prefix of a value and the unencrypted part that follows it. */
export function parseStoredValue(value: Uint8Array): StoredValue {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const head = bytes.toString('latin1', 0, MAX_PREFIX_BYTES)
  if (!head.startsWith(ENCRYPTED)) return { kind: 'plain', encoding: detectEncoding(bytes) }
  const [, scheme, version, rest] = /^k8s:enc:([^:]*):([^:]*):(.*)$/s.exec(head) ?? []
  if (rest === undefined) return damaged('it ends within its k8s:enc: prefix')
  const start = head.length - rest.length
  switch (`${String(scheme)}:${String(version)}`) {
    case 'kms:v2':
      return parseKmsV2(rest, bytes, start)
    case 'kms:v1':
      return parseKmsV1(rest, bytes, start)
    case 'aescbc:v1':
    case 'aesgcm:v1':
    case 'secretbox:v1':
      return parseLocal(scheme as LocalScheme, rest, bytes.length - start)
    default:
      return damaged(
        `kube-apiserver has no provider with the prefix ${JSON.stringify(head.slice(0, Math.min(start, 64)))}`,
      )
  }
}

/** Names in a prefix are UTF-8, but the prefix was decoded as Latin-1, with one character for each byte. */
function decodeName(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/**
 * Minimum size of data that is encrypted with a local key (apiserver: pkg/storage/value/encrypt/aes/aes.go,
 * secretbox/secretbox.go): IV and one block; nonce and tag; nonce and tag.
 */
const LEAST_BYTES: Readonly<Record<LocalScheme, number>> = { aescbc: 32, aesgcm: 28, secretbox: 40 }
const AES_BLOCK_BYTES = 16

/** @param length bytes of the value from `rest` to its end */
function parseLocal(scheme: LocalScheme, rest: string, length: number): StoredValue {
  const end = rest.indexOf(':')
  if (end < 0) return damaged(`its ${scheme} prefix lacks a key name`)
  const dataBytes = length - end - 1
  const isCut = scheme === 'aescbc' && dataBytes % AES_BLOCK_BYTES !== 0
  if (dataBytes < LEAST_BYTES[scheme] || isCut) {
    // The rest of a key name with a colon counts as data here.
    const orNamed = isCut ? ', or its key has a colon in its name' : ''
    return damaged(`its ${scheme} data has ${String(dataBytes)} bytes, so it was cut off${orNamed}`)
  }
  return { kind: 'local', scheme, keyName: decodeName(rest.slice(0, end)) }
}

/** Names of KMS v2 providers contain no colon (apiserver: pkg/apis/apiserver/validation/validation_encryption.go). */
function parseKmsV2(rest: string, bytes: Buffer, start: number): StoredValue {
  const end = rest.indexOf(':')
  if (end <= 0) return damaged('its kms:v2 prefix lacks a provider name')
  let object: EncryptedObject
  try {
    object = fromBinary(EncryptedObjectSchema, bytes.subarray(start + end + 1))
  } catch {
    return damaged('its kms:v2 prefix is not followed by an envelope')
  }
  const fault = findEnvelopeFault(object)
  if (fault !== undefined) return damaged(`its envelope ${fault}`)
  return {
    kind: 'kms-v2',
    provider: decodeName(rest.slice(0, end)),
    keyId: object.keyID,
    source: object.encryptedDEKSource,
    annotations: object.annotations,
    isSeed:
      object.encryptedDEKSourceType === EncryptedDEKSourceType.HKDF_SHA256_XNONCE_AES_GCM_SEED,
    payload: object.encryptedData,
  }
}

function findEnvelopeFault(object: EncryptedObject): string | undefined {
  const { keyID, encryptedDEKSource, encryptedData, annotations } = object
  if (encryptedData.length === 0) return 'has no data'
  if (encryptedData.length < LEAST_KMS_BYTES)
    return `has data of ${String(encryptedData.length)} bytes, so it was cut off`
  if (keyID === '') return 'has no key id'
  if (Buffer.byteLength(keyID) > MAX_KEY_ID_BYTES)
    return `has a key id of over ${String(MAX_KEY_ID_BYTES)} bytes`
  if (encryptedDEKSource.length === 0) return 'has no DEK source'
  if (encryptedDEKSource.length > MAX_SOURCE_BYTES)
    return `has a DEK source of over ${String(MAX_SOURCE_BYTES)} bytes`
  const size = Object.entries(annotations).reduce(
    (sum, [name, bytes]) => sum + Buffer.byteLength(name) + bytes.length,
    0,
  )
  if (size > MAX_ANNOTATIONS_BYTES)
    return `has annotations of over ${String(MAX_ANNOTATIONS_BYTES)} bytes`
  if (!SOURCE_TYPES.has(object.encryptedDEKSourceType))
    return `has a DEK source of type ${String(object.encryptedDEKSourceType)}, which kube-apiserver does not support`
  return undefined
}

/**
 * Names of KMS v1 providers may contain colons, so the name ends at the first colon that a valid envelope follows: a 16-bit
 * length, a wrapped key of that length, and data (apiserver: pkg/storage/value/encrypt/envelope/envelope.go).
 */
function parseKmsV1(rest: string, bytes: Buffer, start: number): StoredValue {
  for (let end = rest.indexOf(':'); end > 0; end = rest.indexOf(':', end + 1)) {
    const body = bytes.subarray(start + end + 1)
    if (body.length < 2) break
    const length = body.readUInt16BE(0)
    if (length === 0 || body.length <= 2 + length) continue
    const source = body.subarray(2, 2 + length)
    return {
      kind: 'kms-v1',
      provider: decodeName(rest.slice(0, end)),
      source,
      payload: body.subarray(2 + length),
    }
  }
  return damaged('its kms:v1 prefix is not followed by an envelope')
}

/** By the first bytes (apimachinery: pkg/runtime/serializer/protobuf, json, cbor). */
function detectEncoding(bytes: Buffer): Encoding {
  if (bytes.subarray(0, 4).equals(PROTOBUF)) return 'protobuf'
  if (bytes.subarray(0, 3).equals(CBOR)) return 'cbor'
  return bytes[0] === 0x7b ? 'json' : 'unknown'
}

const PROTOBUF = Buffer.from('k8s\0', 'latin1')
/** The self-described CBOR tag (RFC 8949, section 3.4.6). */
const CBOR = Buffer.from([0xd9, 0xd9, 0xf7])

function damaged(why: string): StoredValue {
  return { kind: 'damaged', why }
}
