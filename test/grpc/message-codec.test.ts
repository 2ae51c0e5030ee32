import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { create, fromBinary, toBinary, type DescMessage } from '@bufbuild/protobuf'
import { test, type Test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import { MountResponseSchema } from '../../src/gen/csi/v1alpha1/service_pb.ts'
import { KeyManagementService as KmsV1 } from '../../src/gen/kms/v1beta1/api_pb.ts'
import { KeyManagementService as KmsV2 } from '../../src/gen/kms/v2/api_pb.ts'
import { decodeFlat } from '../../src/grpc/flat/decode.ts'
import { encodeFlat } from '../../src/grpc/flat/encode.ts'
import { flatFormOf } from '../../src/grpc/flat/form.ts'
import { decode, encode } from '../../src/grpc/message-codec.ts'
import { SecretMessage } from '../../src/grpc/sent-message.ts'
import { Random } from '../verify/random/random.ts'

const SCHEMAS: readonly DescMessage[] = [...KmsV1.methods, ...KmsV2.methods].flatMap(
  ({ input, output }) => [input, output],
)
/** Lengths at which a varint gets another byte, or at which protobuf-es takes over. */
const LENGTHS = [0, 1, 32, 127, 128, 300, 16_383, 16_384]
const TEXTS = ['', 'k8s', 'x'.repeat(127), 'x'.repeat(128), 'schlüssel', '\u0000', 'half \ud800']
/** Tags, and bytes with and without the high bit. */
const BYTES = [0, 1, 2, 0x0a, 0x12, 0x22, 0x80, 0xff]
const NAMES = ['a.example', 'b.example', 'ö', '', '__proto__', 'constructor']

const random = new Random(1)

/** A message with random fields. */
function makeMessage(schema: DescMessage): Record<string, unknown> {
  const message = create(schema) as unknown as Record<string, unknown>
  for (const { localName, fieldKind } of schema.fields) {
    const value = message[localName]
    if (fieldKind === 'map') {
      const names = random.some(NAMES, 0.5)
      message[localName] = Object.fromEntries(names.map((name) => [name, makeBytes()]))
    } else if (value instanceof Uint8Array) message[localName] = makeBytes()
    else if (typeof value === 'string') message[localName] = random.pick(TEXTS)
  }
  return message
}

function makeBytes(): Buffer {
  return randomBytes(random.pick(LENGTHS))
}

/** The bytes of an encoded message, as grpc-js takes them. */
function bytesOf(schema: DescMessage, message: object): Buffer {
  const sent = encode(schema, message as never)
  const bytes = Buffer.alloc(sent.byteLength)
  sent.copy(bytes, 0)
  return bytes
}

/** tap's own comparison fails for a field named "constructor". */
function compareDecoded(t: Test, schema: DescMessage, bytes: Buffer): void {
  const library = resultOf(() => fromBinary(schema, bytes, { readUnknownFields: false }))
  const own = resultOf(() => decode(schema, bytes))
  t.ok(isDeepStrictEqual(own, library), `${schema.typeName} ${bytes.toString('hex')}`)
}

/** What is decoded; "refused" if nothing is. */
function resultOf(decodeMessage: () => object): object | string {
  try {
    return decodeMessage()
  } catch (error) {
    const isOwn = error instanceof BridgeError
    if (isOwn && error.code !== 'REQUEST_INVALID') throw error
    return 'refused'
  }
}

void test('messages of KMS are encoded and decoded as protobuf-es does', async (t) => {
  for (const schema of SCHEMAS) {
    for (let round = 0; round < 100; round += 1) {
      const message = makeMessage(schema)
      const bytes = Buffer.from(toBinary(schema, message as never))
      t.ok(bytesOf(schema, message).equals(bytes), schema.typeName)
      compareDecoded(t, schema, bytes)
    }
  }
})

void test('changed messages are decoded or refused as protobuf-es does', async (t) => {
  for (const schema of SCHEMAS) {
    for (let round = 0; round < 300; round += 1) {
      const whole = Buffer.from(toBinary(schema, makeMessage(schema) as never)).subarray(0, 400)
      const rest = random.pick([Buffer.alloc(0), whole, random.bytes(3)])
      const bytes = Buffer.concat([whole, rest])
      if (bytes.length > 0 && random.chance(0.8))
        bytes[random.below(bytes.length)] = random.pick(BYTES)
      compareDecoded(t, schema, bytes)
    }
  }
})

void test('the messages of an API server need no protobuf-es', async (t) => {
  const { decrypt, encrypt, status } = KmsV2.method
  const annotations = {
    'version.transit-bridge.internal': Buffer.from('2'),
    'cluster.transit-bridge.internal': Buffer.from('prod'),
    'local-key.transit-bridge.internal': randomBytes(100),
  }
  const keyId = `tb1-${'k'.repeat(43)}`
  const uid = '5b2b3c1e-0000-4000-8000-000000000000'
  const messages: readonly (readonly [DescMessage, object])[] = [
    [decrypt.input, { ciphertext: randomBytes(80), uid, keyId, annotations }],
    [decrypt.output, { plaintext: randomBytes(32) }],
    [encrypt.input, { plaintext: randomBytes(32), uid }],
    [encrypt.output, { ciphertext: randomBytes(80), keyId, annotations }],
    [status.input, {}],
    [status.output, { version: 'v2', healthz: 'ok', keyId }],
  ]
  for (const [schema, fields] of messages) {
    const form = flatFormOf(schema)
    if (form === undefined) throw new Error(`${schema.typeName} is not flat`)
    const bytes = Buffer.from(toBinary(schema, create(schema, fields as never)))
    t.ok(encodeFlat(form, fields)?.equals(bytes), schema.typeName)
    t.strictSame(decodeFlat(form, bytes), fromBinary(schema, bytes), schema.typeName)
  }
  t.equal(flatFormOf(MountResponseSchema), undefined, 'a message with messages in it')
})

void test('the plaintext of an answer is zeroed, also if the answer cannot be encoded', async (t) => {
  const { output } = KmsV2.method.decrypt
  for (const length of [32, 20_000]) {
    const plaintext = Buffer.alloc(length, 7)
    const sent = encode(output, { plaintext })
    t.type(sent, SecretMessage)
    t.ok(plaintext.every((byte) => byte === 0))
    const bytes = Buffer.alloc(sent.byteLength)
    sent.copy(bytes, 0)
    t.same(fromBinary(output, bytes).plaintext, Buffer.alloc(length, 7))
  }
  const plaintext = Buffer.alloc(32, 7)
  const wrong = { plaintext, ciphertext: 'not bytes', keyId: '', annotations: {} }
  t.throws(() => encode(KmsV2.method.encrypt.output, wrong as never), TypeError)
  t.ok(plaintext.every((byte) => byte === 0))
})
