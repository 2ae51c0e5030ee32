import {
  isAlias,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type Alias,
  type Document,
  type ErrorCode,
  type YAMLError,
} from 'yaml'

import { formatPath, splitMessage, type Fault, type Path } from './fault.ts'

/** A parsed YAML text, and the lines of its parts. */
export interface Source {
  readonly value: unknown
  /** The line of a key or list item; for a missing one the line of its parent. */
  readonly lineOf: (path: Path) => number
}

/** More than a person writes. */
const MAX_TEXT_BYTES = 1024 * 1024
const MAX_ALIASES = 100

export interface YamlOptions {
  /** Maximum number of aliases in the text; each repeats the value of its anchor. Default: 100. */
  readonly maxAliases?: number | undefined
  /** Returns integers as BigInt, so that large ones keep all digits. Default: false. */
  readonly integersAsBigInt?: boolean | undefined
}

/**
 * Parses YAML 1.2; returns faults for a text that is not YAML. Variables are left to the caller. The time is proportional
 * to the length of any text: aliases are counted and matched with their anchors before any of them is expanded.
 */
export function readYaml(
  text: string,
  { maxAliases = MAX_ALIASES, integersAsBigInt = false }: YamlOptions = {},
): Source | readonly Fault[] {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    const limit = `${String(MAX_TEXT_BYTES / 1024)} KiB`
    return [{ path: '', message: `is longer than ${limit}`, hint: 'split it' }]
  }
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    intAsBigInt: integersAsBigInt,
    stringKeys: true,
    // The library compares each key with every other: a text of about 100 KiB would take minutes.
    uniqueKeys: false,
  })
  // Each warning is about a tag that would be ignored, which the author did not intend.
  const errors = [...document.errors, ...document.warnings, ...findDuplicates(document)]
  if (errors.length > 0) {
    return withoutFollowers(errors).map((error) => describeError(error, document, lines))
  }
  const alias = findAliasFault(document, maxAliases)
  if (alias !== undefined) return [locate('', alias.text, lines, alias.offset)]
  try {
    // The library also counts anchors, and counts an alias of aliases as all of them.
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES + 1 })
    return { value, lineOf: (path) => lineOf(document, lines, path) }
  } catch (thrown) {
    // The library's limit on aliases of aliases; anything else is a bug in this program.
    if (!(thrown instanceof ReferenceError)) throw thrown
    return [locate('', TOO_MANY_ALIASES, lines, 0)]
  }
}

type SourceError = Pick<YAMLError, 'code' | 'pos'>

/** Each duplicate costs a walk through the whole document, and 20 are enough to start fixing. */
const MAX_DUPLICATES = 20

function findDuplicates(document: Document): readonly SourceError[] {
  const duplicates: SourceError[] = []
  visit(document, {
    Map(_position, map) {
      if (duplicates.length >= MAX_DUPLICATES) return visit.BREAK
      const seen = new Set<unknown>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        const offset = offsetOf(key) ?? 0
        if (seen.has(key.value)) duplicates.push({ code: 'DUPLICATE_KEY', pos: [offset, offset] })
        seen.add(key.value)
      }
      return undefined
    },
  })
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
  let fault: AliasFault | undefined
  const refuse = (alias: Alias, text: string) => {
    fault = { text, offset: offsetOf(alias) ?? 0 }
    return visit.BREAK
  }
  visit(document, {
    Node(_position, node, ancestors) {
      if (!isAlias(node)) {
        if ('anchor' in node && node.anchor !== undefined) anchors.set(node.anchor, node)
        return undefined
      }
      const target = anchors.get(node.source)
      if (target === undefined) return refuse(node, WORDS.BAD_ALIAS)
      if (maxAliases === 0) return refuse(node, 'contains a YAML alias; write the values in full')
      aliases += 1
      if (aliases > maxAliases) return refuse(node, TOO_MANY_ALIASES)
      const isInside = ancestors.some((ancestor) => ancestor === target)
      return isInside ? refuse(node, 'an alias is inside the value that it refers to') : undefined
    },
  })
  return fault
}

/** A syntax error causes others up to the end of the file; only the first one is reported. */
function withoutFollowers(errors: readonly SourceError[]): readonly SourceError[] {
  const inOrder = errors.toSorted((one, other) => one.pos[0] - other.pos[0])
  const first = inOrder.findIndex(({ code }) => code !== 'DUPLICATE_KEY')
  return first < 0 ? inOrder : inOrder.slice(0, first + 1)
}

function lineOf(document: Document, lines: LineCounter, path: Path): number {
  let node: unknown = document.contents
  let offset = 0
  for (const part of path) {
    const found = findChild(node, part)
    if (found === undefined) break
    offset = found.offset ?? offset
    node = found.node
  }
  return lines.linePos(offset).line
}

interface Child {
  readonly node: unknown
  readonly offset: number | undefined
}

function findChild(node: unknown, part: string | number): Child | undefined {
  if (typeof node !== 'object' || node === null || !('items' in node)) return undefined
  const items = node.items as readonly unknown[]
  if (typeof part === 'number') return { node: items[part], offset: offsetOf(items[part]) }
  const pair = items.filter(isPair).find(({ key }) => isScalar(key) && String(key.value) === part)
  return pair && { node: pair.value, offset: offsetOf(pair.key) }
}

function offsetOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined
  return Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : undefined
}

/** Messages for the library's error codes. Its own messages quote the source, which may be a secret. */
const WORDS: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: 'an alias cannot have a tag or an anchor',
  BAD_ALIAS: 'an alias refers to no anchor; text that starts with * must be in quotes',
  BAD_COLLECTION_TYPE: 'a tag does not match its value; remove the tag',
  BAD_DIRECTIVE: 'a line that starts with % is not a YAML directive; put the text in quotes',
  BAD_DQ_ESCAPE:
    'text in double quotes contains a \\ that does not start an escape; use single quotes',
  BAD_INDENT: 'the indentation does not match the lines above',
  BAD_PROP_ORDER: 'an anchor or a tag is in the wrong place',
  BAD_SCALAR_START: 'text cannot start with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a mapping cannot start on this line; put text that contains ": " in quotes',
  BLOCK_IN_FLOW: 'a block cannot be inside [] or {}',
  DUPLICATE_KEY: 'is set twice; remove one',
  IMPOSSIBLE: 'cannot be read as YAML',
  KEY_OVER_1024_CHARS: 'a key is too long',
  MISSING_CHAR:
    'a character is missing before this position: a closing quote or bracket, a comma, or a colon',
  MULTILINE_IMPLICIT_KEY:
    'a line has no ": " after its key, or text over several lines is not in quotes',
  MULTIPLE_ANCHORS: 'a value has two anchors',
  MULTIPLE_DOCS: 'a second document starts here; use one document per file',
  MULTIPLE_TAGS: 'a value has two tags',
  NON_STRING_KEY: 'a key must be text',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'a tab is used for indentation; use spaces',
  TAG_RESOLVE_FAILED:
    'a tag (a word that starts with !) is unknown; remove it, or put the text in quotes',
  UNEXPECTED_TOKEN:
    'unexpected characters; put text with special characters in quotes, including ${NAME} inside [] or {}',
}

function describeError(error: SourceError, document: Document, lines: LineCounter): Fault {
  const [offset] = error.pos
  const path = error.code === 'DUPLICATE_KEY' ? formatPath(findKey(document, offset)) : ''
  return locate(path, WORDS[error.code], lines, offset)
}

function locate(path: string, text: string, lines: LineCounter, offset: number): Fault {
  const { line, col } = lines.linePos(offset)
  return { path, ...splitMessage(text), line, column: col }
}

/** The path of the key at an offset. */
function findKey(document: Document, offset: number): Path {
  let found: Path = []
  visit(document, {
    Pair(_position, pair, ancestors) {
      if (offsetOf(pair.key) !== offset) return undefined
      found = [...ancestors.filter(isPair), pair].map(({ key }) =>
        isScalar(key) ? String(key.value) : '?',
      )
      return visit.BREAK
    },
  })
  return found
}
