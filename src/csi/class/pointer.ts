import { UNPRINTABLE } from '../../text/quoted.ts'
import type { FieldReader } from './object-fields.ts'

/** Our own limits; RFC 6901 has none. Messages contain the pointer. */
const LONGEST_POINTER = 512
const DEEPEST = 32

/** A part of a JSON or YAML value. */
export interface Selection {
  readonly language: 'JSON' | 'YAML'
  /** As in the class, for messages. */
  readonly pointer: string
  /** The unescaped reference tokens of the pointer. */
  readonly tokens: readonly string[]
}

/** Reads jsonPointer or yamlPointer; both are JSON pointers (RFC 6901). */
export function readSelection(reader: FieldReader): Selection | undefined {
  if (!reader.has('yamlPointer')) return readPointer('jsonPointer', 'JSON', reader)
  if (reader.has('jsonPointer'))
    reader.fault('yamlPointer', 'cannot be combined with jsonPointer; remove one of them')
  return readPointer('yamlPointer', 'YAML', reader)
}

function readPointer(
  field: string,
  language: Selection['language'],
  reader: FieldReader,
): Selection | undefined {
  if (!reader.has(field)) return undefined
  const pointer = reader.text(field, '')
  if (pointer === undefined) return undefined
  const fault = findPointerFault(pointer)
  if (fault !== undefined) {
    reader.fault(field, fault)
    return undefined
  }
  return { language, pointer, tokens: pointer.slice(1).split('/').map(unescapeToken) }
}

function findPointerFault(pointer: string): string | undefined {
  if (pointer === '' || pointer === '/')
    return `is ${pointer === '' ? 'empty' : 'only a slash'}; use the path of a part, such as /db/password`
  if (!pointer.startsWith('/')) return 'does not start with /; use a path such as /db/password'
  if (!pointer.isWellFormed() || UNPRINTABLE.test(pointer)) return 'contains a control character'
  if (pointer.length > LONGEST_POINTER)
    return `is longer than ${String(LONGEST_POINTER)} characters`
  if (pointer.split('/').length - 1 > DEEPEST) return `has more than ${String(DEEPEST)} parts`
  if (/~(?![01])/.test(pointer)) return 'contains a single ~; write ~0 for ~ and ~1 for / in a name'
  return undefined
}

/** ~1 first: ~01 is the name ~1 (RFC 6901, section 4). */
function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~')
}
