import { fromBinary } from '@bufbuild/protobuf'
import * as v from 'valibot'

import {
  ConfigMapSchema,
  SecretSchema,
  UnknownSchema,
  type ObjectMeta,
} from '../gen/kube/v1/objects_pb.ts'

/** An object in the form in which it is written out. */
export interface ReadableObject {
  /** `json`: a manifest or the stored JSON. `bin`: the stored bytes. */
  readonly extension: 'json' | 'bin'
  /** The receiver zeroes it. */
  readonly content: Buffer
  /** Whether kubectl can apply it. */
  readonly isManifest: boolean
}

const PROTOBUF = Buffer.from('k8s\0', 'latin1')

/** As an API server with --storage-media-type=application/json stores them. v.record would omit a key such as "constructor". */
const JsonManifest = v.object({
  apiVersion: v.literal('v1'),
  kind: v.picklist(['Secret', 'ConfigMap']),
  metadata: v.object({
    name: v.string(),
    namespace: v.optional(v.string()),
    labels: v.optional(v.unknown()),
    annotations: v.optional(v.unknown()),
  }),
  type: v.optional(v.string()),
  immutable: v.optional(v.boolean()),
  data: v.optional(v.unknown()),
  binaryData: v.optional(v.unknown()),
})

/**
 * Makes a manifest for `kubectl apply` of a Secret or ConfigMap: name, namespace, labels, annotations, type and data, without
 * what an API server sets itself. Any other object keeps its stored form.
 */
export function makeReadable(stored: Buffer): ReadableObject {
  const isJson = stored[0] === 0x7b
  const manifest = isJson ? decodeJson(stored) : decode(stored)
  if (manifest === undefined) {
    const extension = isJson ? 'json' : 'bin'
    return { extension, content: Buffer.from(stored), isManifest: false }
  }
  const content = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
  return { extension: 'json', content, isManifest: true }
}

/** Undefined for other kinds, and for what is not JSON. */
function decodeJson(stored: Buffer): object | undefined {
  try {
    const parsed = v.safeParse(JsonManifest, JSON.parse(stored.toString('utf8')))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** Undefined for other kinds, and for what is not a valid message. */
function decode(stored: Buffer): object | undefined {
  if (!stored.subarray(0, PROTOBUF.length).equals(PROTOBUF)) return undefined
  try {
    const { typeMeta, raw } = fromBinary(UnknownSchema, stored.subarray(PROTOBUF.length))
    const { apiVersion = '', kind = '' } = typeMeta ?? {}
    const header = { apiVersion, kind }
    if (apiVersion !== 'v1') return undefined
    if (kind === 'Secret') return decodeSecret(header, raw)
    return kind === 'ConfigMap' ? decodeConfigMap(header, raw) : undefined
  } catch {
    return undefined
  }
}

function decodeSecret(header: object, raw: Uint8Array): object {
  const secret = fromBinary(SecretSchema, raw)
  const { metadata, type, data, immutable } = secret
  const manifest = { ...header, metadata: describe(metadata), type, immutable, data: encode(data) }
  for (const value of Object.values(data)) value.fill(0)
  return manifest
}

function decodeConfigMap(header: object, raw: Uint8Array): object {
  const { metadata, data, binaryData, immutable } = fromBinary(ConfigMapSchema, raw)
  const binary = Object.keys(binaryData).length === 0 ? undefined : encode(binaryData)
  return { ...header, metadata: describe(metadata), immutable, data, binaryData: binary }
}

function describe(metadata: ObjectMeta | undefined): object {
  const { name, namespace, labels = {}, annotations = {} } = metadata ?? {}
  return {
    name,
    namespace,
    labels: Object.keys(labels).length === 0 ? undefined : labels,
    annotations: Object.keys(annotations).length === 0 ? undefined : annotations,
  }
}

function encode(data: Readonly<Record<string, Uint8Array>>): Record<string, string> {
  const entries = Object.entries(data).map(
    ([key, value]) => [key, Buffer.from(value).toString('base64')] as const,
  )
  return Object.fromEntries(entries)
}
