import { VAULT_NAME_FAULT } from '../../config/schema/text.ts'
import type { FieldReader, TextRule } from './object-fields.ts'
import { readKeyId } from './key-id.ts'
import {
  PUBLIC_KEY_FORMATS,
  RSA_ALGORITHMS,
  type JwkFields,
  type JwksObject,
  type PublicKeyObject,
} from './object-types.ts'

/** Vault's GenericNameRegex (sdk/framework/path.go). The length is that of a file name. */
export const VAULT_NAME: TextRule = {
  pattern: /^(?=.{1,255}$)\w([\w.-]*\w)?$/,
  message: VAULT_NAME_FAULT,
}
const COMMENT: TextRule = {
  pattern: /^(?=\S)[^\p{Cc}\p{Cs}]{0,255}\S$|^[^\s\p{Cc}\p{Cs}]$/u,
  message: 'is not a comment; use up to 256 characters in one line, such as web@example.com',
}
const KEY_MEANING = 'the name of a transit key'
const MAX_KEYS = 100
/** A part of a request's path and of keys of the key cache. */
const MAX_CONTEXT_BYTES = 1024

export function readKey(reader: FieldReader): string {
  return reader.text('key', KEY_MEANING, VAULT_NAME) ?? ''
}

export function readPublicKeyFields(
  reader: FieldReader,
): Pick<PublicKeyObject, 'context' | 'format' | 'version' | 'comment' | keyof JwkFields> {
  const format = reader.optionalChoice('format', PUBLIC_KEY_FORMATS) ?? 'pem'
  const fields = {
    context: readContext(reader),
    format,
    version: reader.version('version'),
    comment: reader.has('comment') ? reader.text('comment', '', COMMENT) : undefined,
    ...readJwkFields(reader, false),
  }
  for (const field of ['alg', 'kid'] as const) {
    if (fields[field] !== undefined && format !== 'jwk')
      reader.fault(field, 'is only for format: jwk; remove it, or write format: jwk')
  }
  if (fields.comment !== undefined && format !== 'openssh')
    reader.fault('comment', 'is only for format: openssh; remove it, or write format: openssh')
  return fields
}

export function readJwksFields(
  reader: FieldReader,
): Pick<JwksObject, 'keys' | 'context' | keyof JwkFields> {
  const keys = readKeys(reader)
  const context = readContext(reader)
  if (context !== undefined && reader.has('keys'))
    reader.fault('context', 'cannot be combined with keys; use key')
  return { keys, context, ...readJwkFields(reader, keys.length > 1) }
}

function readContext(reader: FieldReader): Buffer | undefined {
  const context = reader.bytes('context')
  if (context?.byteLength === 0)
    reader.fault('context', 'is empty; remove it, or specify the context')
  if (context !== undefined && context.byteLength > MAX_CONTEXT_BYTES)
    reader.fault('context', `is longer than ${String(MAX_CONTEXT_BYTES)} bytes`)
  return context
}

function readJwkFields(reader: FieldReader, hasSeveralKeys: boolean): JwkFields {
  return {
    alg: reader.optionalChoice('alg', RSA_ALGORITHMS),
    kid: readKeyId(reader, hasSeveralKeys),
  }
}

/** Reads `key` or `keys`. */
function readKeys(reader: FieldReader): readonly string[] {
  if (!reader.has('keys')) return [readKey(reader)]
  if (reader.has('key')) reader.fault('key', 'cannot be combined with keys; remove one of them')
  const keys = reader.texts('keys', KEY_MEANING, VAULT_NAME)
  if (keys === undefined) return []
  const repeated = keys.slice(0, MAX_KEYS).find((key, index) => keys.indexOf(key) !== index)
  if (keys.length === 0) reader.fault('keys', 'is an empty list; list the names of transit keys')
  else if (keys.length > MAX_KEYS)
    reader.fault('keys', `has more than ${String(MAX_KEYS)} keys; use several objects`)
  else if (repeated !== undefined) reader.fault('keys', `has ${repeated} twice; remove one`)
  return keys
}
