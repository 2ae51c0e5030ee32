import { create, toBinary } from '@bufbuild/protobuf'
import {
  EncryptedObjectSchema,
  type EncryptedDEKSourceType,
} from '../../../src/gen/etcd/v2/encrypted_object_pb.ts'
import { kmsV1Value, kmsV2Value, sealByCbc, sealByKey, sealBySeed } from '../envelopes.ts'
import type { DekSource, Problem } from './dek-sources.ts'
import type { Layout } from './layouts.ts'
import type { Random } from './random.ts'

/** What is true about a value, known from how it was made. */
export type ValueFacts = {
  readonly kind: 'plain' | 'encrypted' | 'damaged'
  /** As the report names it; of plaintext, with its encoding. */
  readonly provider: string
  readonly source?: DekSource | undefined
  /** What `verify` must find at each depth. */
  readonly problems: Readonly<Record<'envelopes' | 'seeds' | 'objects', Problem | undefined>>
}

export type RandomObject = ValueFacts & {
  readonly key: string
  readonly value: Buffer
  readonly layout: Layout
}

type Made = ValueFacts & { readonly value: Buffer }

const NO_PROBLEM = { envelopes: undefined, seeds: undefined, objects: undefined } as const
const DAMAGE = { envelopes: 'unreadable', seeds: 'unreadable', objects: 'unreadable' } as const
const UNPROVEN = { envelopes: undefined, seeds: 'unproven', objects: 'unproven' } as const

const HEADS: Readonly<Record<string, Buffer>> = {
  protobuf: Buffer.from('k8s\0'),
  json: Buffer.from('{"kind":"Secret"'),
  cbor: Buffer.from([0xd9, 0xd9, 0xf7]),
  unknown: Buffer.from('k8s:enc'),
}

export function makePlain(random: Random): Made {
  const encoding = random.pick(Object.keys(HEADS))
  const value = Buffer.concat([HEADS[encoding] ?? Buffer.alloc(0), random.bytes(random.below(40))])
  // The bytes after k8s:enc must not complete the prefix.
  if (encoding === 'unknown' && value[7] === 0x3a) value[7] = 0x3b
  return { kind: 'plain', provider: `plaintext ${encoding}`, problems: NO_PROBLEM, value }
}

export const LOCAL_KEYS: readonly (readonly [scheme: string, key: string])[] = [
  ['aescbc', 'key1'],
  ['aescbc', 'key2'],
  ['aesgcm', 'key1'],
  ['secretbox', 'key1'],
]

/** Encrypted by a key that is only in the EncryptionConfiguration. */
export function makeLocal(random: Random): Made {
  const [scheme, name] = random.pick(LOCAL_KEYS)
  const head = Buffer.from(`k8s:enc:${scheme}:v1:${name}:`)
  const value = Buffer.concat([head, random.bytes(48)])
  return { kind: 'encrypted', provider: `${scheme} ${name}`, problems: UNPROVEN, value }
}

/** Encrypted under a DEK source; if `broken`, with a payload that it does not open at this key. */
export function makeSealed(random: Random, source: DekSource, key: string, broken: boolean): Made {
  const payload = sealPayload(random, source, key, broken)
  const { api, provider, problem, isLongEnough } = source
  const inside = broken || !isLongEnough ? 'unreadable' : undefined
  return {
    kind: 'encrypted',
    provider: `kms ${api} ${provider}`,
    source,
    problems: { envelopes: undefined, seeds: problem, objects: problem ?? inside },
    value:
      api === 'v1' ? kmsV1Value(provider, source.ciphertext, payload) : wrapV2(source, payload),
  }
}

function wrapV2(source: DekSource, data: Buffer): Buffer {
  const { provider, keyId, ciphertext, annotations, isSeed } = source
  return kmsV2Value({
    provider,
    keyId,
    source: ciphertext,
    annotations: { ...annotations },
    // EncryptedDEKSourceType: 0 is a DEK, 1 is a seed.
    type: isSeed ? 1 : 0,
    data,
  })
}

function sealPayload(random: Random, source: DekSource, key: string, broken: boolean): Buffer {
  if (!source.isLongEnough) return random.bytes(100)
  if (!broken) return seal(random, source, key)
  const kinds = [
    () => seal(random, source, `${key}-before-it-was-copied`),
    () => seal(random, { ...source, plaintext: random.bytes(32) }, key),
    () => flip(seal(random, source, key), random),
    // A shorter one is damaged without any key.
    () => random.bytes(28 + random.below(4)),
  ]
  // CBC authenticates neither the key of etcd nor the data, so a KMS v1 payload is broken as GCM.
  return random.pick(kinds)()
}

function seal(random: Random, source: DekSource, key: string): Buffer {
  const { api, isSeed, plaintext } = source
  const text = `k8s\0 ${'v'.repeat(random.below(40))}`
  if (api === 'v2' && isSeed)
    return sealBySeed(plaintext, key, text, random.bytes(32), random.bytes(12))
  return sealByKey(plaintext, key, text, random.bytes(12))
}

function flip(payload: Buffer, random: Random): Buffer {
  const changed = Buffer.from(payload)
  const at = random.below(changed.length)
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8))
  return changed
}

/** As kube-apiserver wrote under KMS v1 before 1.25. */
export function makeCbc(source: DekSource): Made {
  const payload = sealByCbc(source.plaintext, '{"kind":"Secret"}')
  const { provider, problem } = source
  return {
    kind: 'encrypted',
    provider: `kms v1 ${provider}`,
    source,
    problems: { envelopes: undefined, seeds: problem, objects: problem },
    value: kmsV1Value(provider, source.ciphertext, payload),
  }
}

/** What no API server can read, which shows without any key. */
export function makeDamaged(random: Random, whole: Buffer): Made {
  const kinds: readonly (() => Buffer)[] = [
    ...DAMAGED_TEXTS.map((text) => () => Buffer.from(text)),
    ...DAMAGED_ENVELOPES.map((fields) => () => envelope(fields)),
    () => Buffer.concat([Buffer.from('k8s:enc:kms:v2:transit-bridge:'), Buffer.alloc(20, 0xff)]),
    () => whole.subarray(0, 8 + random.below(20)),
    () => whole.subarray(0, Math.floor(whole.length / 2)),
  ]
  return { kind: 'damaged', provider: 'damaged', problems: DAMAGE, value: random.pick(kinds)() }
}

const DAMAGED_TEXTS: readonly string[] = [
  'k8s:enc:',
  'k8s:enc:aescbc',
  'k8s:enc:aescbc:v1',
  'k8s:enc:aescbc:v1:key1',
  'k8s:enc:aescbc:v1:key1:xxxxxxxxxxxxxxxx',
  'k8s:enc:aesgcm:v1:key1:',
  'k8s:enc:secretbox:v1:key1:xxxxxxxx',
  'k8s:enc:aescbc:v2:key1:xxxxxxxxxxxxxxxx',
  'k8s:enc:rot13:v1:key1:xxxxxxxxxxxxxxxx',
  'k8s:enc:kms:v3:transit-bridge:xxxxxxxx',
  'k8s:enc:kms:v2::xxxx',
  'k8s:enc:kms:v2:transit-bridge:',
  'k8s:enc:kms:v1:transit-bridge:',
  'k8s:enc:kms:v1:transit-bridge:\0\0xxxx',
  'k8s:enc:kms:v1:transit-bridge:\x7f\x7fxxxx',
  'k8s:enc:kms:v1:transit-bridge:\0\x04xxxx',
  'k8s:enc:KMS:v2:transit-bridge:xxxx',
]

const DAMAGED_ENVELOPES: readonly Partial<Fields>[] = [
  { encryptedData: Buffer.alloc(0) },
  { encryptedData: Buffer.alloc(27, 1) },
  { keyID: '' },
  { keyID: 'k'.repeat(1025) },
  { encryptedDEKSource: Buffer.alloc(0) },
  { encryptedDEKSource: Buffer.alloc(1025, 1) },
  { annotations: { 'a.example': Buffer.alloc(32 * 1024) } },
  { encryptedDEKSourceType: 2 as EncryptedDEKSourceType },
]

type Fields = {
  encryptedData: Buffer
  keyID: string
  encryptedDEKSource: Buffer
  annotations: Record<string, Buffer>
  encryptedDEKSourceType: EncryptedDEKSourceType
}

function envelope(fields: Partial<Fields>): Buffer {
  const whole: Fields = {
    encryptedData: Buffer.alloc(60, 1),
    keyID: 'tb1-example',
    encryptedDEKSource: Buffer.from('vault:v3:QUJD'),
    annotations: {},
    encryptedDEKSourceType: 1,
  }
  const object = { ...create(EncryptedObjectSchema), ...whole, ...fields }
  const head = Buffer.from('k8s:enc:kms:v2:transit-bridge:')
  return Buffer.concat([head, toBinary(EncryptedObjectSchema, object)])
}
