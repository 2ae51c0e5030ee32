import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { DescField, DescMessage, Message, MessageShape } from '@bufbuild/protobuf'
import { BridgeError } from '../errors.ts'
import { decodeFlat } from './flat/decode.ts'
import { encodeFlat } from './flat/encode.ts'
import { flatFormOf } from './flat/form.ts'
import { SecretMessage, type SentMessage } from './sent-message.ts'

/** All fields of a message and nothing else: an answer with a forgotten or misspelled field does not compile. */
export type Fields<M extends DescMessage> = Omit<MessageShape<M>, keyof Message>

/** Maximum number of fields in a message, with each repetition counted. Messages of KMS v2 and CSI have a few dozen at most. */
const MAX_FIELDS = 1_000
/** The number including ignored fields. Skipping them takes a few milliseconds. */
const MAX_IGNORED_FIELDS = 100_000
/** A field has a tag and a value. */
const MIN_FIELD_BYTES = 2

/**
 * Returns a message without an ignored field. Throws if many fields remain: a message of 4 MiB can have two million fields, which
 * would take seconds and the whole memory to decode.
 */
function keepFewFields(bytes: Buffer, ignored: DescField | undefined): Buffer {
  if (bytes.byteLength <= MAX_FIELDS * MIN_FIELD_BYTES) return bytes
  const reader = new BinaryReader(bytes)
  const kept: Buffer[] = []
  for (let fields = 0; reader.pos < reader.len; fields += 1) {
    if (fields === MAX_IGNORED_FIELDS) throw new RangeError('too many ignored fields')
    const start = reader.pos
    const [field, type] = reader.tag()
    reader.skip(type, field)
    if (field === ignored?.number) continue
    if (kept.length === MAX_FIELDS) throw new RangeError(`more than ${String(MAX_FIELDS)} fields`)
    kept.push(bytes.subarray(start, reader.pos))
  }
  return ignored === undefined ? bytes : Buffer.concat(kept)
}

/**
 * Throws REQUEST_INVALID.
 * @param ignored a repeated field that nothing reads, and that may occur in larger numbers
 */
export function decode<M extends DescMessage>(
  schema: M,
  bytes: Buffer,
  ignored?: DescField,
): MessageShape<M> {
  const form = flatFormOf(schema)
  const message = form && decodeFlat(form, bytes)
  if (message !== undefined) return message as MessageShape<M>
  try {
    return fromBinary(schema, keepFewFields(bytes, ignored), { readUnknownFields: false })
  } catch (cause) {
    throw new BridgeError('REQUEST_INVALID', 'the request is not a valid message of its method', {
      cause,
    })
  }
}

/** Encodes an answer and zeroes its secrets, of which the result then has the only copy. */
export function encode<M extends DescMessage>(schema: M, fields: Fields<M>): SentMessage {
  const secrets = collectSecrets(fields)
  try {
    const form = flatFormOf(schema)
    const message = (form && encodeFlat(form, fields)) ?? encodeAny(schema, fields)
    return secrets.length === 0 ? message : new SecretMessage(message)
  } finally {
    for (const secret of secrets) secret.fill(0)
  }
}

/**
 * protobuf-es copies nested messages on its way, so it encodes zeros of the same length, and the secrets then replace these zeros
 * in the result. Decoding the result finds the zeros: its fields are views of it.
 */
function encodeAny<M extends DescMessage>(schema: M, fields: Fields<M>): Buffer {
  const secrets = collectSecrets(fields, 'replace')
  const bytes = toBinary(schema, Object.assign(create(schema), fields))
  const places = secrets.length === 0 ? [] : collectSecrets(fromBinary(schema, bytes))
  for (const [index, secret] of secrets.entries()) places[index]?.set(secret)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Zeroes the secrets of a message. */
export function wipe(message: object): void {
  for (const secret of collectSecrets(message)) secret.fill(0)
}

/** The fields that carry plaintext: `plaintext` of KMS v2, `plain` of v1beta1, `contents` of the files of CSI. */
const SECRET_FIELDS = ['plaintext', 'plain', 'contents']

/** The secrets of a message; zeros of the same length may replace them in it. */
function collectSecrets(message: object, then: 'keep' | 'replace' = 'keep'): Uint8Array[] {
  const fields = message as Record<string, unknown>
  const secrets: Uint8Array[] = []
  for (const name of SECRET_FIELDS) {
    const value = fields[name]
    if (!(value instanceof Uint8Array)) continue
    secrets.push(value)
    if (then === 'replace') fields[name] = new Uint8Array(value.length)
  }
  const { files } = fields
  if (!Array.isArray(files)) return secrets
  return [...secrets, ...(files as object[]).flatMap((file) => collectSecrets(file, then))]
}
