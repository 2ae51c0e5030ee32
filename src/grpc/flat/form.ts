import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf'

/** Wire type of strings, bytes and map entries (https://protobuf.dev/programming-guides/encoding/#structure). */
const LENGTH_DELIMITED = 2
/** The tag of a field with a larger number has two bytes. */
const LAST_SHORT_NUMBER = 15

export const KEY_TAG = tagOf(1)
export const VALUE_TAG = tagOf(2)
/** Set in each byte of a varint but the last, and in no byte of ASCII. */
export const HIGH_BIT = 0x80
/** A longer field has a length of three bytes or more. */
export const MAX_LENGTH = 0x3fff

export type FlatValue = string | Uint8Array | Record<string, Uint8Array>

export interface FlatField {
  readonly name: string
  readonly tag: number
  readonly kind: 'string' | 'bytes' | 'map'
}

/** A type of message that has only strings, bytes, and maps from strings to bytes, like most messages of KMS. */
export interface FlatForm {
  readonly typeName: string
  readonly fields: readonly FlatField[]
  readonly byTag: readonly (FlatField | undefined)[]
}

const forms = new WeakMap<DescMessage, FlatForm | 'other'>()

/** The form of a type of message; undefined if it has other fields, too. */
export function flatFormOf(schema: DescMessage): FlatForm | undefined {
  let form = forms.get(schema)
  if (form === undefined) {
    form = makeForm(schema) ?? 'other'
    forms.set(schema, form)
  }
  return form === 'other' ? undefined : form
}

function makeForm(schema: DescMessage): FlatForm | undefined {
  const fields: FlatField[] = []
  const byTag: FlatField[] = []
  for (const field of schema.fields) {
    const kind = kindOf(field)
    if (kind === undefined || field.number > LAST_SHORT_NUMBER) return undefined
    const flat = { name: field.localName, tag: tagOf(field.number), kind }
    fields.push(flat)
    byTag[flat.tag] = flat
  }
  return { typeName: schema.typeName, fields, byTag }
}

function kindOf(field: DescField): FlatField['kind'] | undefined {
  if (field.fieldKind === 'map') {
    const isFlat = field.mapKey === ScalarType.STRING && field.scalar === ScalarType.BYTES
    return isFlat ? 'map' : undefined
  }
  if (field.fieldKind !== 'scalar' || field.oneof !== undefined) return undefined
  if (field.scalar === ScalarType.STRING) return 'string'
  return field.scalar === ScalarType.BYTES ? 'bytes' : undefined
}

function tagOf(fieldNumber: number): number {
  return (fieldNumber << 3) | LENGTH_DELIMITED
}
