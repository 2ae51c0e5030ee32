import { createHash } from 'node:crypto'
import { test } from 'tap'
import { parseStoredValue } from '../../src/storage/stored-value.ts'
import { findPayloadFault } from '../../src/storage/payload.ts'
import { keyVersionOf } from '../../src/storage/wrapped-source.ts'
import { makeV1Cipher } from '../../src/seed/v1-cipher.ts'
import {
  kmsV1Value,
  kmsV2Value,
  OURS,
  sealByCbc,
  sealByKey,
  sealBySeed,
} from '../verify/envelopes.ts'

const KEY = '/registry/secrets/default/a'
const bytes = (length: number, first: number) =>
  Buffer.from(Array.from({ length }, (_, at) => (first + at) % 256))

void test('every prefix of kube-apiserver is distinguished', (t) => {
  t.match(parseStoredValue(kmsV2Value()), {
    kind: 'kms-v2',
    provider: 'transit-bridge',
    keyId: 'tb1-example',
    isSeed: true,
  })
  t.match(parseStoredValue(kmsV2Value({ type: 0 })), { kind: 'kms-v2', isSeed: false })
  t.match(parseStoredValue(kmsV1Value('old', Buffer.from('dek'), Buffer.alloc(40))), {
    kind: 'kms-v1',
    provider: 'old',
  })
  t.match(parseStoredValue(kmsV1Value('with:a colon', Buffer.from('dek'), Buffer.alloc(40))), {
    kind: 'kms-v1',
    provider: 'with:a colon',
  })
  for (const scheme of ['aescbc', 'aesgcm', 'secretbox'] as const) {
    const value = Buffer.from(`k8s:enc:${scheme}:v1:key1:${'\u0001'.repeat(48)}`)
    t.strictSame(parseStoredValue(value), { kind: 'local', scheme, keyName: 'key1' })
  }
  const encodings = [
    ['{"kind":"Secret"}', 'json'],
    ['k8s\0\n', 'protobuf'],
    ['anything', 'unknown'],
    ['', 'unknown'],
  ] as const
  for (const [text, encoding] of encodings) {
    t.strictSame(parseStoredValue(Buffer.from(text)), { kind: 'plain', encoding })
  }
  const cbor = Buffer.from([0xd9, 0xd9, 0xf7, 0xa0])
  t.strictSame(parseStoredValue(cbor), { kind: 'plain', encoding: 'cbor' })
  t.end()
})

function localValue(scheme: string, dataBytes: number): Buffer {
  return Buffer.concat([Buffer.from(`k8s:enc:${scheme}:v1:a:`), Buffer.alloc(dataBytes, 1)])
}

type Damage = readonly [what: string, value: Buffer, why: RegExp]

/** Each is one thing wrong with a value that is right otherwise. */
const DAMAGED: readonly Damage[] = [
  ['no key id', kmsV2Value({ keyId: '' }), /no key id/],
  ['a long key id', kmsV2Value({ keyId: 'x'.repeat(1025) }), /key id of over 1024/],
  ['no source', kmsV2Value({ source: Buffer.alloc(0) }), /no DEK source/],
  ['a long source', kmsV2Value({ source: Buffer.alloc(1025) }), /DEK source of over 1024/],
  ['no data', kmsV2Value({ data: Buffer.alloc(0) }), /has no data/],
  [
    'long annotations',
    kmsV2Value({ annotations: { 'a.b': Buffer.alloc(32 * 1024) } }),
    /annotations of over 32768/,
  ],
  ['an unknown type', kmsV2Value({ type: 7 as 0 }), /type 7/],
  ['cut off', kmsV2Value().subarray(0, 60), /not followed by an envelope/],
  ['nothing behind the prefix', Buffer.from('k8s:enc:kms:v2:a:'), /has no data/],
  ['no provider', Buffer.from('k8s:enc:kms:v2:'), /lacks a provider name/],
  ['an empty provider', kmsV2Value({ provider: '' }), /lacks a provider name/],
  [
    'KMS v1, cut off',
    kmsV1Value('a', Buffer.from('dek'), Buffer.alloc(0)),
    /not followed by an envelope/,
  ],
  ['KMS v1 without a body', Buffer.from('k8s:enc:kms:v1:a:'), /not followed by an envelope/],
  ['no name of a key', Buffer.from('k8s:enc:aescbc:v1:'), /lacks a key name/],
  ['KMS v2 data without a tag', kmsV2Value({ data: Buffer.alloc(27) }), /data of 27 bytes/],
  ['aescbc without data', Buffer.from('k8s:enc:aescbc:v1:a:'), /has 0 bytes/],
  ['aescbc of an IV alone', localValue('aescbc', 16), /has 16 bytes/],
  ['aescbc of half a block', localValue('aescbc', 40), /has 40 bytes/],
  ['aesgcm without a tag', localValue('aesgcm', 27), /has 27 bytes/],
  ['secretbox without a tag', localValue('secretbox', 39), /has 39 bytes/],
  ['an unknown scheme', Buffer.from('k8s:enc:rot13:v1:a:b'), /kube-apiserver has no provider/],
  ['a future version', Buffer.from('k8s:enc:kms:v3:a:b'), /kube-apiserver has no provider/],
  ['a prefix alone', Buffer.from('k8s:enc:'), /within its k8s:enc: prefix/],
]

for (const [what, value, why] of DAMAGED) {
  void test(`damaged: ${what}`, (t) => {
    t.match(parseStoredValue(value), { kind: 'damaged', why })
    t.end()
  })
}

void test('the Transit key version is read from the ciphertext', (t) => {
  const version = (value: Buffer) => {
    const stored = parseStoredValue(value)
    return stored.kind === 'kms-v1' || stored.kind === 'kms-v2' ? keyVersionOf(stored) : 'none'
  }
  t.equal(version(kmsV2Value()), 3)
  t.equal(version(kmsV2Value({ source: Buffer.from('opaque') })), undefined)
  const payload = Buffer.alloc(40)
  t.equal(version(kmsV1Value('a', Buffer.from('vault:v4:QUJD'), payload)), 4)
  t.equal(version(kmsV1Value('a', makeV1Cipher('c', 'vault:v5:QUJD'), payload)), 5)
  t.end()
})

/**
 * Our own vectors: all inputs are counting bytes, so the vectors can be computed again. A change of them would mean that
 * stored data is read differently.
 */
const VECTORS = [
  {
    name: 'a seed: HKDF-Expand-SHA256, AES-256-GCM',
    value: kmsV2Value({
      data: sealBySeed(bytes(32, 0), KEY, 'k8s\0 vector', bytes(32, 64), bytes(12, 128)),
    }),
    source: bytes(32, 0),
    sha256: 'a70a0ef8af1347ca4ec456fb390359eef2c4c3e15c527579fb4e8151f2eaf9b7',
  },
  {
    name: 'a DEK of Kubernetes 1.27: AES-256-GCM',
    value: kmsV2Value({
      type: 0,
      data: sealByKey(bytes(32, 0), KEY, 'k8s\0 vector', bytes(12, 9)),
    }),
    source: bytes(32, 0),
    sha256: 'e2e24e26816db27c2bcf8d46a1ed6c0b4cc405caf6639215360fb2b7d3ee9408',
  },
  {
    name: 'KMS v1: AES-256-GCM',
    value: kmsV1Value(
      'old',
      Buffer.from('vault:v1:QUJD'),
      sealByKey(bytes(32, 0), KEY, 'k8s\0 vector', bytes(12, 9)),
    ),
    source: bytes(32, 0),
    sha256: '5f09b9dd16bbc06d21f9014a7b311499b4627e054860ad8f43884fedfbeac309',
  },
] as const

for (const { name, value, source, sha256 } of VECTORS) {
  void test(`vector: ${name}`, (t) => {
    t.equal(createHash('sha256').update(value).digest('hex'), sha256)
    const stored = parseStoredValue(value)
    if (stored.kind !== 'kms-v1' && stored.kind !== 'kms-v2') throw new Error(stored.kind)
    const open = (key: string, secret: Buffer) => findPayloadFault(stored, secret, Buffer.from(key))
    t.equal(open(KEY, source), undefined)
    t.match(open(`${KEY}b`, source), /copied from another key/)
    t.match(open(KEY, bytes(32, 1)), /does not match its DEK/)
    t.match(open(KEY, Buffer.alloc(5)), /the length of an AES key|shorter than 32/)
    for (let at = 0; at < stored.payload.length; at += 7) {
      const payload = Buffer.from(stored.payload)
      payload.writeUInt8(payload.readUInt8(at) ^ 1, at)
      const fault = findPayloadFault({ ...stored, payload }, source, Buffer.from(KEY))
      t.type(fault, 'string', `byte ${String(at)} changed`)
    }
    t.end()
  })
}

void test('KMS v1 data from before Kubernetes 1.25 is AES-CBC', (t) => {
  const open = (payload: Buffer) => {
    const stored = parseStoredValue(kmsV1Value('old', Buffer.from('dek'), payload))
    if (stored.kind !== 'kms-v1') throw new Error(stored.kind)
    return findPayloadFault(stored, bytes(32, 0), Buffer.from(KEY))
  }
  t.equal(open(sealByCbc(bytes(32, 0), 'k8s\0 some protobuf, longer than a block')), undefined)
  t.equal(open(sealByCbc(bytes(32, 0), '{"kind":"Secret"}')), undefined)
  t.equal(open(sealByCbc(bytes(32, 0), '{}')), undefined)
  t.type(open(sealByCbc(bytes(32, 0), 'no object of Kubernetes')), 'string')
  t.type(open(sealByCbc(bytes(32, 5), '{"kind":"Secret"}')), 'string')
  t.end()
})

void test('what is too short is reported as such', (t) => {
  const stored = parseStoredValue(kmsV2Value({ data: Buffer.alloc(40) }))
  if (stored.kind !== 'kms-v2') throw new Error(stored.kind)
  t.match(findPayloadFault(stored, bytes(32, 0), Buffer.from(KEY)), /too short/)
  t.equal(OURS.data.length, 61)
  t.end()
})
