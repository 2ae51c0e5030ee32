import { fromBinary } from '@bufbuild/protobuf'
import {
  EncryptedDEKSourceType,
  EncryptedObjectSchema,
  type EncryptedObject,
} from '../gen/etcd/v2/encrypted_object_pb.ts'

export type LocalScheme = 'aescbc' | 'aesgcm' | 'secretbox'
export type Encoding = 'json' | 'protobuf' | 'cbor' | 'unknown'

/** A value of KMS v1: its data key, wrapped by the plugin, in front of what it encrypts. */
export interface KmsV1Value {
  readonly kind: 'kms-v1'
  readonly provider: string
  readonly source: Uint8Array
  readonly payload: Uint8Array
}

/** A value of KMS v2: what a plugin's Encrypt answered, beside what was encrypted with it. */
export interface KmsV2Value {
  readonly kind: 'kms-v2'
  readonly provider: string
  readonly keyId: string
  /** The wrapped DEK source: what Encrypt answered. */
  readonly source: Uint8Array
  readonly annotations: Readonly<Record<string, Uint8Array>>
  /** Whether the source is a seed (all since Kubernetes 1.29) or a key itself. */
  readonly isSeed: boolean
  readonly payload: Uint8Array
}

/** A value of etcd, as far as it can be read without any key. */
export type StoredValue =
  | KmsV1Value
  | KmsV2Value
  | { readonly kind: 'local'; readonly scheme: LocalScheme; readonly keyName: string }
  | { readonly kind: 'plain'; readonly encoding: Encoding }
  | { readonly kind: 'damaged'; readonly why: string }

const ENCRYPTED = 'k8s:enc:'
/** Long enough for any prefix: a provider's name has no limit of its own, but no sane one is longer. */
const LONGEST_PREFIX = 1024

/** Limits of kube-apiserver, which refuses to read what is beyond them (kmsv2/envelope.go, ValidateEncryptedObject). */
const MAX_KEY_ID = 1024
const MAX_SOURCE = 1024
const MAX_ANNOTATIONS = 32 * 1024
const SOURCE_TYPES: ReadonlySet<number> = new Set(Object.values(EncryptedDEKSourceType))

/** Reads the prefix that kube-apiserver writes in front of a value, and what is in the clear behind it. */
export function parseStoredValue(value: Uint8Array): StoredValue {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const head = bytes.toString('latin1', 0, LONGEST_PREFIX)
  if (!head.startsWith(ENCRYPTED)) return { kind: 'plain', encoding: detectEncoding(bytes) }
  const [, scheme, version, rest] = /^k8s:enc:([^:]*):([^:]*):(.*)$/s.exec(head) ?? []
  if (rest === undefined) return damaged('it ends inside of its k8s:enc: prefix')
  const start = head.length - rest.length
  switch (`${String(scheme)}:${String(version)}`) {
    case 'kms:v2':
      return parseKmsV2(rest, bytes, start)
    case 'kms:v1':
      return parseKmsV1(rest, bytes, start)
    case 'aescbc:v1':
    case 'aesgcm:v1':
    case 'secretbox:v1':
      return parseLocal(scheme as LocalScheme, rest)
    default:
      return damaged(
        `no provider of kube-apiserver has the prefix ${JSON.stringify(head.slice(0, Math.min(start, 64)))}`,
      )
  }
}

function parseLocal(scheme: LocalScheme, rest: string): StoredValue {
  const end = rest.indexOf(':')
  if (end < 0) return damaged(`there is no name of a key behind its ${scheme} prefix`)
  return { kind: 'local', scheme, keyName: rest.slice(0, end) }
}

/** Names of KMS v2 providers have no colon (validation_encryption.go). */
function parseKmsV2(rest: string, bytes: Buffer, start: number): StoredValue {
  const end = rest.indexOf(':')
  if (end <= 0) return damaged('there is no name of a provider behind its kms:v2 prefix')
  let object: EncryptedObject
  try {
    object = fromBinary(EncryptedObjectSchema, bytes.subarray(start + end + 1))
  } catch {
    return damaged('what is behind its kms:v2 prefix is not an envelope')
  }
  const fault = findEnvelopeFault(object)
  if (fault !== undefined) return damaged(`its envelope ${fault}`)
  return {
    kind: 'kms-v2',
    provider: rest.slice(0, end),
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
  if (encryptedData.length === 0) return 'holds no data'
  if (keyID === '') return 'has no key id'
  if (Buffer.byteLength(keyID) > MAX_KEY_ID)
    return `has a key id of over ${String(MAX_KEY_ID)} bytes`
  if (encryptedDEKSource.length === 0) return 'has no DEK source'
  if (encryptedDEKSource.length > MAX_SOURCE)
    return `has a DEK source of over ${String(MAX_SOURCE)} bytes`
  const size = Object.entries(annotations).reduce(
    (sum, [name, bytes]) => sum + Buffer.byteLength(name) + bytes.length,
    0,
  )
  if (size > MAX_ANNOTATIONS) return `has annotations of over ${String(MAX_ANNOTATIONS)} bytes`
  if (!SOURCE_TYPES.has(object.encryptedDEKSourceType))
    return `has a DEK source of type ${String(object.encryptedDEKSourceType)}, which no kube-apiserver knows`
  return undefined
}

/**
 * Names of KMS v1 providers may hold colons, so the end of the name is the first colon behind which a length and
 * as many bytes stand (envelope/envelope.go: a 16-bit length, the wrapped key, the data).
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
      provider: rest.slice(0, end),
      source,
      payload: body.subarray(2 + length),
    }
  }
  return damaged('what is behind its kms:v1 prefix is not an envelope')
}

/** The first bytes of what kube-apiserver stores (runtime/serializer: protobuf, json, cbor). */
function detectEncoding(bytes: Buffer): Encoding {
  if (bytes.subarray(0, 4).equals(PROTOBUF)) return 'protobuf'
  if (bytes.subarray(0, 3).equals(CBOR)) return 'cbor'
  return bytes[0] === 0x7b ? 'json' : 'unknown'
}

const PROTOBUF = Buffer.from('k8s\0', 'latin1')
/** The tag that says "this is CBOR" (RFC 8949, section 3.4.6). */
const CBOR = Buffer.from([0xd9, 0xd9, 0xf7])

function damaged(why: string): StoredValue {
  return { kind: 'damaged', why }
}
