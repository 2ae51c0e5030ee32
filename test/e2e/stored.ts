import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import {
  EncryptedObjectSchema,
  EncryptedDEKSourceType,
} from '../../src/gen/etcd/v2/encrypted_object_pb.ts'
import type { Etcd } from '../real/cluster/etcd.ts'

export const SECRETS = '/registry/secrets/'

/** One value of etcd, as far as it can be read without any key. */
export type Stored =
  | { format: 'plain' }
  | { format: 'v1'; provider: string; cipher: string }
  | {
      format: 'v2'
      provider: string
      keyId: string
      /** What Encrypt answered. */
      source: string
      annotations: Record<string, string>
      isSeed: boolean
    }

export type StoredV2 = Extract<Stored, { format: 'v2' }>

/** Reads the prefix that kube-apiserver writes, and what is in the clear behind it. */
export function parseStored(value: Buffer): Stored {
  const [, version, provider] = /^k8s:enc:kms:(v[12]):([^:]+):/.exec(value.toString('latin1')) ?? []
  if (version === undefined || provider === undefined) return { format: 'plain' }
  const rest = value.subarray(`k8s:enc:kms:${version}:${provider}:`.length)
  if (version === 'v1') {
    const length = rest.readUInt16BE(0)
    return { format: 'v1', provider, cipher: rest.subarray(2, 2 + length).toString('latin1') }
  }
  const object = fromBinary(EncryptedObjectSchema, rest)
  return {
    format: 'v2',
    provider,
    keyId: object.keyID,
    source: Buffer.from(object.encryptedDEKSource).toString('latin1'),
    annotations: Object.fromEntries(
      Object.entries(object.annotations).map(([key, bytes]) => [
        key,
        Buffer.from(bytes).toString('utf8'),
      ]),
    ),
    isSeed:
      object.encryptedDEKSourceType === EncryptedDEKSourceType.HKDF_SHA256_XNONCE_AES_GCM_SEED,
  }
}

/** A Secret's value in etcd; throws if there is none. */
export async function storedSecret(etcd: Etcd, name: string, namespace = 'default') {
  const value = await etcd.get(`${SECRETS}${namespace}/${name}`)
  if (value === undefined) throw new Error(`etcd has no Secret ${namespace}/${name}`)
  return parseStored(value)
}

/** As {@link storedSecret}; throws unless it is of KMS v2. */
export async function storedV2(etcd: Etcd, name: string, namespace?: string): Promise<StoredV2> {
  const stored = await storedSecret(etcd, name, namespace)
  if (stored.format !== 'v2') throw new Error(`Secret ${name} is stored as ${stored.format}`)
  return stored
}

/** The different wrapped seeds that all Secrets in etcd use together. */
export async function seedsOfSecrets(etcd: Etcd): Promise<Set<string>> {
  const sources = new Set<string>()
  for (const { value } of await etcd.range(SECRETS)) {
    const stored = parseStored(value)
    if (stored.format === 'v2') sources.add(stored.source)
  }
  return sources
}

/**
 * Where etcd has this text in the clear, raw or as base64: names of keys, and of files on its disk, which
 * also hold what was overwritten and not yet compacted.
 */
export async function findInEtcd(etcd: Etcd, text: string): Promise<string[]> {
  const forms = [Buffer.from(text), Buffer.from(Buffer.from(text).toString('base64'))]
  const holds = (bytes: Buffer) => forms.some((form) => bytes.includes(form))
  // Every key that kube-apiserver makes starts with one of these.
  const values = [...(await etcd.range('/')), ...(await etcd.range('compact'))]
  const files = readdirSync(etcd.dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return [
    ...values.filter(({ value }) => holds(value)).map(({ key }) => key),
    ...files.filter((file) => holds(readFileSync(file))),
  ]
}

/** As kube-apiserver's metrics name a key id. */
export function hashOf(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`
}
