import { isAlias, isMap, isNode, isScalar, LineCounter, type Document } from 'yaml'

import { doAtOnce, type Parts } from '../time/parts.ts'
import { rawJson } from '../text/raw-json.ts'
import type { Fault, Path } from './fault.ts'
import { composeInParts } from './document.ts'
import { lineInside, lineOf, offsetOf, textOf } from './position.ts'
import {
  describeError,
  locate,
  MAX_DUPLICATES,
  WORDS,
  withoutFollowers,
  type SourceError,
} from './syntax-fault.ts'
import { ancestorsOf, walk, type Place } from './walk.ts'

/** A parsed YAML text, and the lines of its parts. */
export interface Source {
  readonly value: unknown
  /** The line of a key or list item; for a missing one the line of its parent. */
  readonly lineOf: (path: Path) => number
  /** Where a line of the text value at this path is in the file. */
  readonly lineInside: (path: Path, line: number) => number
}

export interface YamlSource extends Source {
  /** The text of a scalar as it is written, without quotes. Undefined for anything else, also for an alias. */
  readonly textOf: (path: Path) => string | undefined
}

/** More than a person writes. */
const MAX_TEXT_BYTES = 1024 * 1024
const MAX_ALIASES = 100

export interface YamlOptions {
  /** Maximum number of aliases in the text; each repeats the value of its anchor. Default: 100. */
  readonly maxAliases?: number | undefined
  /**
   * Returns integers as BigInt, and other numbers that JSON writes in the same way as raw JSON, so that all keep their
   * digits. Default: false.
   */
  readonly exactNumbers?: boolean | undefined
}

/**
 * Parses YAML 1.2; returns faults for a text that is not YAML. Variables are left to the caller. The time is proportional
 * to the length of any text: aliases are counted and matched with their anchors before any of them is expanded.
 */
export function readYaml(text: string, options: YamlOptions = {}): YamlSource | readonly Fault[] {
  return doAtOnce(readYamlInParts(text, options))
}

/** Like {@link readYaml}, in parts. */
export function* readYamlInParts(
  text: string,
  { maxAliases = MAX_ALIASES, exactNumbers = false }: YamlOptions = {},
): Parts<YamlSource | readonly Fault[]> {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    const limit = `${String(MAX_TEXT_BYTES / 1024)} KiB`
    return [{ path: '', message: `is longer than ${limit}`, hint: 'split it' }]
  }
  const lines = new LineCounter()
  const document = yield* composeInParts(text, lines, {
    intAsBigInt: exactNumbers,
    stringKeys: true,
    // The library compares each key with every other: a text of about 100 KiB would take minutes.
    uniqueKeys: false,
  })
  yield
  // Each warning is about a tag that would be ignored, which the author did not intend.
  const errors = [...document.errors, ...document.warnings, ...findDuplicates(document)]
  if (errors.length > 0) {
    return withoutFollowers(errors).map((error) => describeError(error, document, lines))
  }
  const alias = findAliasFault(document, maxAliases)
  if (alias !== undefined) return [locate('', alias.text, lines, alias.offset)]
  if (exactNumbers) keepDigits(document)
  try {
    // The library also counts anchors, and counts an alias of aliases as all of them.
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES + 1 })
    return {
      value,
      lineOf: (path) => lineOf(document, lines, path),
      lineInside: (path, line) => lineInside(document, lines, path, line),
      textOf: (path) => textOf(document, path),
    }
  } catch (thrown) {
    // The library's limit on aliases of aliases; anything else is a bug in this program.
    if (!(thrown instanceof ReferenceError)) throw thrown
    return [locate('', TOO_MANY_ALIASES, lines, 0)]
  }
}

/** RFC 8259, section 6. */
const JSON_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

function keepDigits(document: Document): void {
  for (const { node } of walk(document)) {
    if (!isScalar(node)) continue
    const { source = '', value } = node
    if (typeof value === 'number' && JSON_NUMBER.test(source)) node.value = rawJson(source)
  }
}

function findDuplicates(document: Document): readonly SourceError[] {
  const duplicates: SourceError[] = []
  for (const { node } of walk(document)) {
    if (!isMap(node)) continue
    const seen = new Set<unknown>()
    for (const { key } of node.items) {
      if (!isScalar(key)) continue
      const offset = offsetOf(key) ?? 0
      if (seen.has(key.value)) duplicates.push({ code: 'DUPLICATE_KEY', pos: [offset, offset] })
      seen.add(key.value)
    }
    if (duplicates.length >= MAX_DUPLICATES) break
  }
  return duplicates.slice(0, MAX_DUPLICATES)
}

const TOO_MANY_ALIASES = 'contains too many aliases; write the values in full'

interface AliasFault {
  readonly text: string
  readonly offset: number
}

/** The first alias that cannot be expanded: without an anchor before it, inside its own anchor, or one too many. */
function findAliasFault(document: Document, maxAliases: number): AliasFault | undefined {
  const anchors = new Map<string, unknown>()
  let aliases = 0
  for (const place of walk(document)) {
    const { node } = place
    if (!isAlias(node)) {
      if (isNode(node) && node.anchor !== undefined) anchors.set(node.anchor, node)
      continue
    }
    aliases += 1
    const text = explainAlias(place, anchors.get(node.source), aliases, maxAliases)
    if (text !== undefined) return { text, offset: offsetOf(node) ?? 0 }
  }
  return undefined
}

function explainAlias(
  place: Place,
  target: unknown,
  count: number,
  maxAliases: number,
): string | undefined {
  if (target === undefined) return WORDS.BAD_ALIAS
  if (maxAliases === 0) return 'contains a YAML alias; write the values in full'
  if (count > maxAliases) return TOO_MANY_ALIASES
  const isInside = [...ancestorsOf(place)].some((ancestor) => ancestor === target)
  return isInside ? 'an alias is inside the value that it refers to' : undefined
}
