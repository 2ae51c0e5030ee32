import { listChoices } from '../../text/nearest.ts'
import { showValue } from '../../yaml/type-words.ts'
import type { FieldReader, TextRule } from './object-fields.ts'
import { TEMPLATE_ENCODINGS, type BundleObject, type TemplateObject } from './object-types.ts'
import { splitPlaceholders, type Placeholder, type TextPart } from './placeholders.ts'

/** Part of the memory of a parsed class (docs/design.md, "Memory bounds"). */
const MAX_PARTS = 100

/** The name of an object, by which others refer to it. */
export const OBJECT_NAME: TextRule = {
  pattern: /^[A-Za-z_][\w-]{0,62}$/,
  message: 'is not a valid name; use letters, digits, _ and -, and start with a letter',
}

export function readBundleFields(reader: FieldReader): Pick<BundleObject, 'of'> {
  if (!reader.has('of')) {
    reader.fault('of', 'is missing; list the names of the objects, such as [key, chain]')
    return { of: [] }
  }
  const of = reader.texts('of', '', OBJECT_NAME)
  if (of?.length === 0) reader.fault('of', 'is an empty list; list the names of objects')
  if (of !== undefined && of.length > MAX_PARTS)
    reader.fault('of', `has more than ${String(MAX_PARTS)} names`)
  return { of: of ?? [] }
}

export function readTemplateFields(reader: FieldReader): Pick<TemplateObject, 'text' | 'parts'> {
  const text = reader.text('text', 'the text of the file, with {{ name }} for other objects')
  if (text === undefined) return { text: '', parts: [] }
  const parts = splitPlaceholders(text)
  const fault = 'fault' in parts ? parts.fault : findFault(text, parts)
  if (fault !== undefined) reader.fault('text', fault)
  return { text, parts: 'fault' in parts ? [] : parts.map((part) => readPart(part)) }
}

function findFault(text: string, parts: readonly TextPart[]): string | undefined {
  if (text === '') return 'is empty'
  if (!text.isWellFormed()) return 'contains half of a surrogate pair'
  const placeholders = parts.filter((part) => typeof part !== 'string')
  if (placeholders.length === 0)
    return 'has no {{ name }}; use a ConfigMap for text without secrets'
  if (placeholders.length > MAX_PARTS) return `has more than ${String(MAX_PARTS)} placeholders`
  const wrong = placeholders.find((part) => encodingOf(part) === undefined)?.encoding
  return wrong === undefined
    ? undefined
    : `has the unknown encoding ${showValue(wrong)}; use ${listChoices(TEMPLATE_ENCODINGS.slice(1))}`
}

/** A wrong encoding is a fault, after which the object is discarded. */
function readPart(part: TextPart): TemplateObject['parts'][number] {
  if (typeof part === 'string') return part
  return { name: part.name, encoding: encodingOf(part) ?? 'text' }
}

function encodingOf({ encoding = 'text' }: Placeholder) {
  return TEMPLATE_ENCODINGS.find((known) => known === encoding)
}
