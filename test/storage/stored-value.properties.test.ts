import { deepStrictEqual, equal, match, ok } from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'

import { BridgeError } from '../../src/errors.ts'
import { EncryptedDEKSourceType } from '../../src/gen/etcd/v2/encrypted_object_pb.ts'
import { findPayloadFault, openPayload } from '../../src/storage/payload.ts'
import { identifySource } from '../../src/storage/source-identity.ts'
import { parseStoredValue, type StoredValue } from '../../src/storage/stored-value.ts'
import {
  isOwn,
  isUnderLocalKey,
  keyVersionOf,
  openSource,
} from '../../src/storage/wrapped-source.ts'
import { holds } from '../property.ts'
import { kmsV1Value, kmsV2Value, sealByCbc, sealByKey, sealBySeed } from '../verify/envelopes.ts'

const bytes = (minLength: number, maxLength = minLength + 8) =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array))
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const noColon = name.filter((text) => !text.includes(':'))
const annotationNames = ['a.b', 'version.transit-bridge.internal', '__proto__', 'constructor']
const annotations = fc.dictionary(fc.constantFrom(...annotationNames), bytes(0), {
  maxKeys: 3,
  noNullPrototype: true,
})
const envelope = fc.record({
  provider: noColon,
  keyId: fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  source: bytes(1),
  annotations,
  type: fc.constantFrom(
    EncryptedDEKSourceType.AES_GCM_KEY,
    EncryptedDEKSourceType.HKDF_SHA256_XNONCE_AES_GCM_SEED,
  ),
  data: bytes(28),
})

/** What every command does with a value that it read. */
function use(value: StoredValue): void {
  isUnderLocalKey(value)
  if (value.kind !== 'kms-v1' && value.kind !== 'kms-v2') return
  keyVersionOf(value)
  isOwn(value)
  identifySource(value)
  try {
    openSource(value, true)
  } catch (error) {
    ok(error instanceof BridgeError, String(error))
    match(error.code, /^(CIPHERTEXT|ANNOTATIONS)_INVALID$/)
  }
}

holds('a KMS v2 value is read as kube-apiserver wrote it', [envelope], (written) => {
  const read = parseStoredValue(kmsV2Value(written))
  ok(read.kind === 'kms-v2')
  const { provider, keyId, source, data, type } = written
  deepStrictEqual(
    [read.provider, read.keyId, Buffer.from(read.source), Buffer.from(read.payload), read.isSeed],
    [provider, keyId, source, data, type !== EncryptedDEKSourceType.AES_GCM_KEY],
  )
  const hex = (all: Readonly<Record<string, Uint8Array>>) =>
    Object.entries(all)
      .map(([key, value]) => `${key} ${Buffer.from(value).toString('hex')}`)
      .toSorted()
  deepStrictEqual(hex(read.annotations), hex(written.annotations))
  use(read)
})

/** Without bytes that would end the name of the provider earlier. */
const v1Name = fc.string({ unit: fc.constantFrom('a', 'ü', '-'), minLength: 1, maxLength: 12 })

holds(
  'a KMS v1 value is read as kube-apiserver wrote it',
  [v1Name, bytes(1, 300), bytes(1, 60)],
  (provider, source, payload) => {
    const read = parseStoredValue(kmsV1Value(provider, source, payload))
    deepStrictEqual(read, { kind: 'kms-v1', provider, source, payload })
    const cut = kmsV1Value(provider, source, Buffer.alloc(0))
    for (const removed of [0, 1, source.length + 1])
      equal(parseStoredValue(cut.subarray(0, cut.length - removed)).kind, 'damaged')
    use(read)
  },
)

const prefix = fc.constantFrom(
  'k8s:enc:kms:v2:p:',
  'k8s:enc:kms:v1:p:',
  'k8s:enc:kms:v1:a:b:c:',
  'k8s:enc:aescbc:v1:k:',
  'k8s:enc:secretbox:v1:',
  'k8s:enc:',
  'k8s\0',
  '',
)

holds(
  'any bytes are read as some value: plaintext only without the prefix of encrypted data, and damaged with a reason',
  [
    prefix,
    fc.oneof(
      bytes(0, 64),
      envelope.map((each) => kmsV2Value(each).subarray(15)),
    ),
  ],
  (start, rest) => {
    const value = Buffer.concat([Buffer.from(start), rest])
    const read = parseStoredValue(value)
    equal(read.kind === 'plain', !value.toString('latin1').startsWith('k8s:enc:'))
    if (read.kind === 'damaged') ok(read.why.length > 10)
    use(read)
  },
  600,
)

holds(
  'a value with one byte changed, or its end removed, is read without a fault of this program',
  [envelope, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean()],
  (written, place, mask, isCut) => {
    const value = kmsV2Value(written)
    const at = place % value.length
    if (!isCut) value.writeUInt8(value.readUInt8(at) ^ mask, at)
    use(parseStoredValue(isCut ? value.subarray(0, at) : value))
  },
  600,
)

const close = fc.constantFrom('', 'a', 'ab', 'b', 'seed', 'kms-v2').map((text) => Buffer.from(text))
const source = fc.oneof(
  fc.record({
    kind: fc.constant('kms-v1' as const),
    provider: fc.constant('p'),
    source: close,
    payload: close,
  }),
  fc.record({
    kind: fc.constant('kms-v2' as const),
    provider: fc.constant('p'),
    keyId: close.map(String),
    source: close,
    annotations: fc.dictionary(fc.constantFrom('a', 'ab', '__proto__'), close, {
      maxKeys: 2,
      noNullPrototype: true,
    }),
    isSeed: fc.boolean(),
    payload: close,
  }),
)

holds(
  'two DEK sources have the same identity only if kube-apiserver would decrypt them alike',
  [source, source],
  (one, other) => {
    const partsOf = (value: typeof one) =>
      JSON.stringify([
        value.kind,
        value.source.toString(),
        ...(value.kind === 'kms-v1'
          ? []
          : [
              value.keyId,
              value.isSeed,
              Object.entries(value.annotations)
                .map(([key, each]) => `${key} ${each.toString()}`)
                .toSorted(),
            ]),
      ])
    equal(identifySource(one) === identifySource(other), partsOf(one) === partsOf(other))
  },
  600,
)

const KEY = '/registry/secrets/default/a'
const dek = fc.constantFrom(16, 24, 32).map((length) => Buffer.alloc(length, 7))

holds(
  'the data of an object opens with its DEK source and its etcd key, and not with one bit of any of them changed',
  [fc.constantFrom('seed', 'key', 'v1'), dek, fc.string({ maxLength: 60 }), fc.nat(), fc.nat()],
  (kind, key, plaintext, place, choice) => {
    const secret = kind === 'seed' ? Buffer.alloc(32, 3) : key
    const seal = kind === 'seed' ? sealBySeed : sealByKey
    const payload = seal(secret, KEY, plaintext)
    const value = parseStoredValue(
      kind === 'v1'
        ? kmsV1Value('p', Buffer.from('x'), payload)
        : kmsV2Value({ data: payload, type: kind === 'seed' ? 1 : 0 }),
    )
    ok(value.kind === 'kms-v1' || value.kind === 'kms-v2')
    const etcdKey = Buffer.from(KEY)
    equal(openPayload(value, secret, etcdKey).toString(), plaintext)
    equal(findPayloadFault(value, secret, etcdKey), undefined)
    const parts = [Buffer.from(value.payload), Buffer.from(secret), Buffer.from(etcdKey)] as const
    const changed = parts[choice % 3] ?? parts[0]
    const bit = place % (changed.length * 8)
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    equal(typeof openPayload({ ...value, payload: parts[0] }, parts[1], parts[2]), 'string')
    const cut = Buffer.from(value.payload).subarray(0, place % value.payload.length)
    equal(typeof openPayload({ ...value, payload: cut }, secret, etcdKey), 'string')
  },
)

holds(
  'data of KMS v1 before Kubernetes 1.25 opens only as an object',
  [dek, fc.constantFrom('{"kind":"Secret"}', 'k8s\0x', 'text', ''), bytes(0, 80)],
  (key, plaintext, other) => {
    const value = { kind: 'kms-v1', provider: 'p', source: Buffer.from('x') } as const
    const opened = openPayload(
      { ...value, payload: sealByCbc(key, plaintext) },
      key,
      Buffer.from(KEY),
    )
    equal(Buffer.isBuffer(opened), /^(k8s\0|\{)/.test(plaintext))
    if (Buffer.isBuffer(opened)) equal(opened.toString(), plaintext)
    const random = openPayload({ ...value, payload: other }, key, Buffer.from(KEY))
    ok(typeof random === 'string' || /^(k8s\0|\{)/.test(random.toString('latin1')))
    const cipher = createCipheriv(`aes-${String(key.length * 8)}-cbc`, key, Buffer.alloc(16))
    const unpadded = Buffer.concat([Buffer.alloc(16), cipher.update(Buffer.alloc(16, 0x7b))])
    equal(typeof openPayload({ ...value, payload: unpadded }, key, Buffer.from(KEY)), 'string')
  },
)
