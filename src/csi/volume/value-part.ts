import { isUtf8 } from 'node:buffer'
import { BridgeError } from '../../errors.ts'
import { isRawJson, rawJson } from '../../text/raw-json.ts'
import { readYaml } from '../../yaml/source.ts'
import { hasFewMembers } from '../bounded-json.ts'
import type { Selection } from '../class/pointer.ts'
import { findShapeFault } from '../class/text-shape.ts'

/** A value of this many structural characters takes a few milliseconds to parse as YAML. */
const MAX_YAML_STRUCTURE = 2_000
/** A value of this many fields and list items takes about 20 milliseconds to parse twice and write. */
const MAX_JSON_MEMBERS = 10_000

/**
 * Returns a part of a value: a text as it is, anything else as JSON. Zeroes `bytes`. Throws OBJECT_MISSING if the part
 * does not exist, OBJECT_UNSUITABLE if the value cannot be parsed. Messages contain the pointer, but nothing of the value.
 */
export function selectPart(bytes: Buffer, selection: Selection): Buffer {
  try {
    if (!isUtf8(bytes)) throw unreadable(selection, 'is not UTF-8 text')
    return Buffer.from(writePart(bytes.toString(), selection))
  } finally {
    bytes.fill(0)
  }
}

function writePart(text: string, selection: Selection): string {
  const { language } = selection
  if (language === 'JSON' && !hasFewMembers(text, MAX_JSON_MEMBERS))
    throw unreadable(selection, `has more than ${String(MAX_JSON_MEMBERS)} fields and list items`)
  const part = find(language === 'JSON' ? parseJson(text, selection) : parseYaml(text, selection))
  if (typeof part === 'string') {
    if (part.isWellFormed()) return part
    throw unreadable(selection, 'contains half of a surrogate pair, which UTF-8 cannot express')
  }
  // Parsed a second time, because a number may have more digits than a JavaScript number.
  const exact = language === 'JSON' ? find(parseJson(text, selection, keepDigits)) : part
  return writeJson(exact, selection)

  function find(value: unknown): unknown {
    return findPart(value, selection)
  }
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

/** The parser's error is not kept as a cause: it quotes the value. */
function parseJson(text: string, selection: Selection, reviver?: Reviver): unknown {
  try {
    return JSON.parse(text, reviver as Parameters<typeof JSON.parse>[1])
  } catch (thrown) {
    const isDeep = thrown instanceof RangeError
    throw unreadable(selection, isDeep ? 'is nested too deeply' : 'is not JSON')
  }
}

function keepDigits(_key: string, value: unknown, { source }: { readonly source?: string }) {
  return typeof value === 'number' && source !== undefined && source !== String(value)
    ? rawJson(source)
    : value
}

/** The message contains only a line number: a fault contains names of keys. */
function parseYaml(text: string, selection: Selection): unknown {
  const shape = findShapeFault(text, MAX_YAML_STRUCTURE)
  if (shape !== undefined) throw unreadable(selection, shape)
  const source = readYaml(text, { maxAliases: 0, exactNumbers: true })
  if ('value' in source) return source.value
  const [first] = source
  const line = first?.line === undefined ? '' : ` (line ${String(first.line)})`
  throw unreadable(selection, `is not YAML without aliases, tags and duplicate keys${line}`)
}

function findPart(value: unknown, { pointer, tokens }: Selection): unknown {
  let part = value
  for (const [depth, token] of tokens.entries()) {
    const isInside = typeof part === 'object' && part !== null && hasPart(part, token)
    if (!isInside) throw missing(pointer, depth)
    part = (part as Readonly<Record<string, unknown>>)[token]
  }
  return part
}

/** Arrays have only indexes without leading zeros (RFC 6901, section 4). */
function hasPart(value: object, token: string): boolean {
  if (isRawJson(value)) return false
  if (Array.isArray(value) && !/^(?:0|[1-9][0-9]*)$/.test(token)) return false
  return Object.hasOwn(value, token)
}

function writeJson(part: unknown, selection: Selection): string {
  try {
    return JSON.stringify(part, (_key, value: unknown) => {
      if (typeof value === 'bigint') return rawJson(String(value))
      if (typeof value !== 'number' || Number.isFinite(value)) return value
      throw unreadable(selection, 'contains a number that JSON cannot express')
    })
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown
    throw unreadable(selection, 'is nested too deeply')
  }
}

function unreadable({ language }: Selection, fault: string): BridgeError {
  const field = language === 'JSON' ? 'jsonPointer' : 'yamlPointer'
  return new BridgeError(
    'OBJECT_UNSUITABLE',
    `the value ${fault}, so ${field} has nothing to select from`,
  )
}

function missing(pointer: string, depth: number): BridgeError {
  const before = pointer
    .split('/')
    .slice(0, depth + 1)
    .join('/')
  const place = before === '' ? '' : `, only ${JSON.stringify(before)}`
  return new BridgeError(
    'OBJECT_MISSING',
    `the value has no part ${JSON.stringify(pointer)}${place}; correct the pointer, or set optional: true`,
  )
}
