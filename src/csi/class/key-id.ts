import { listChoices } from '../../text/nearest.ts'
import { UNPRINTABLE } from '../../text/quoted.ts'
import type { FieldReader } from './object-fields.ts'
import { splitPlaceholders, type TextPart } from './placeholders.ts'

/** How the kid of a JWK is made: the thumbprint of RFC 7638, or a text with placeholders. */
export type KeyIdRule = 'thumbprint' | readonly TextPart[]

const LONGEST = 256
const NAMES = ['key', 'version'] as const
/** `<key>:<version>` */
export const DEFAULT_KEY_ID: KeyIdRule = [
  { name: 'key', encoding: undefined },
  ':',
  { name: 'version', encoding: undefined },
]

/** Reads the field kid. Returns undefined if there is none, or after a fault. */
export function readKeyId(reader: FieldReader, hasSeveralKeys: boolean): KeyIdRule | undefined {
  if (!reader.has('kid')) return undefined
  const text = reader.text('kid', '')
  if (text === undefined || text === 'thumbprint') return text
  const parts = splitPlaceholders(text)
  const fault = 'fault' in parts ? parts.fault : findFault(text, parts, hasSeveralKeys)
  if (fault === undefined && !('fault' in parts)) return parts
  reader.fault('kid', fault ?? '')
  return undefined
}

function findFault(
  text: string,
  parts: readonly TextPart[],
  hasSeveralKeys: boolean,
): string | undefined {
  if (text.length > LONGEST) return `is longer than ${String(LONGEST)} characters`
  if (!text.isWellFormed() || UNPRINTABLE.test(text)) return 'contains a control character'
  const placeholders = parts.filter((part) => typeof part !== 'string')
  const names = new Set(placeholders.map(({ name }) => name))
  if (placeholders.some(({ name, encoding }) => !isKnown(name) || encoding !== undefined))
    return `has an unknown placeholder; write ${listChoices(NAMES.map((name) => `{{ ${name} }}`))}`
  if (!names.has('version'))
    return 'is the same for each key version; write {{ version }} in it, or kid: thumbprint'
  if (hasSeveralKeys && !names.has('key'))
    return 'is the same for each key; write {{ key }} in it, or kid: thumbprint'
  return undefined
}

function isKnown(name: string): boolean {
  return NAMES.some((known) => known === name)
}
