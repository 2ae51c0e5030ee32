import {
  Composer,
  isCollection,
  isScalar,
  LineCounter,
  parseDocument,
  Parser,
  type Document,
  type YAMLError,
} from 'yaml'

import type { Fault } from '../fault.ts'
import { withoutStacks } from '../parser-errors.ts'
import { lineInside, lineOf, offsetOf } from '../position.ts'
import type { Source } from '../source.ts'
import { describeError, locate, WORDS, withoutFollowers } from '../syntax-fault.ts'
import { walk } from '../walk.ts'
import { GoDecoder, GoYamlError } from './decode.ts'
import { findJsonError } from './json-syntax.ts'
import { findOldSyntaxFault } from './old-syntax.ts'

/** The longest static pod manifest that the kubelet reads (kubernetes: pkg/kubelet/config/common.go). */
const MAX_TEXT_BYTES = 10 * 1024 * 1024

/** After what Go counts as white space, which does not include a byte order mark. */
const LOOKS_LIKE_JSON = /^(?:(?!\uFEFF)[\s\x85])*\{/

export interface GoReading {
  /** Whether a text that starts with `{` is JSON and nothing else, as for kube-apiserver and the kubelet; kubectl reads YAML. */
  readonly json: boolean
  /** Whether a key that is set twice is a fault; otherwise the last one applies. */
  readonly strict: boolean
}

/** What {@link readAsGo} returns for a text that could be read. */
export interface GoSource extends Source {
  /** The line of a second document with content, which Kubernetes silently ignores. */
  readonly ignoredLine?: number | undefined
}

/**
 * Reads a text as Kubernetes' Go programs do: YAML 1.1 as yaml.v2 understands it, of which only the first document counts,
 * or JSON. {@link readYaml} is for this program's own files.
 */
export function readAsGo(text: string, reading: GoReading): GoSource | readonly Fault[] {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES)
    return [{ path: '', message: 'is longer than 10 MiB', hint: 'split it' }]
  return reading.json && LOOKS_LIKE_JSON.test(text)
    ? readJson(text, reading)
    : readYaml(text, reading)
}

const OPTIONS = {
  prettyErrors: false,
  // The decoder resolves scalars and tags.
  schema: 'failsafe',
  resolveKnownTags: false,
  // The library compares each key with every other: a text of about 100 KiB would take minutes.
  uniqueKeys: false,
} as const

function readYaml(original: string, { strict }: GoReading): GoSource | readonly Fault[] {
  const lines = new LineCounter()
  const text = normalizeBreaks(original)
  const [first, second] = withoutStacks(() => composeTwo(text, lines))
  const fault = (offset: number, words: string) => [locate('', words, lines, offset)]
  const control = text.search(FORBIDDEN)
  if (control >= 0) return fault(control, HIDDEN)
  if (first === undefined) return { value: null, lineOf: () => 1, lineInside: () => 1 }
  const end = findEnd(text, first)
  if (isUnclosed(text, first)) return fault(Math.min(end, text.length), WORDS.MISSING_CHAR)
  const errors = [...first.errors, ...first.warnings]
    .filter(isError)
    .filter(({ pos: [offset] }) => offset <= end)
  const after = errors.find(({ pos: [offset] }) => offset >= endOfFlow(first))
  if (after !== undefined && errors[0] === after) return fault(after.pos[0], AFTER_FLOW)
  if (errors.length > 0)
    return withoutFollowers(errors).map((error) => describeError(error, first, lines))
  const tab = findTab(text.slice(0, end), first)
  if (tab !== undefined) return fault(tab, WORDS.TAB_AS_INDENT)
  const old = findOldSyntaxFault(text, first)
  if (old !== undefined) return fault(old.offset, old.text)
  const version = checkVersion(text.slice(0, first.range[0]), first)
  if (version !== undefined) return [version]
  const decoded = decode(first, lines)
  if (!('value' in decoded)) return decoded
  if (strict && decoded.duplicates.length > 0)
    return decoded.duplicates.map((error) => describeError(error, first, lines))
  return {
    value: decoded.value,
    lineOf: (path) => lineOf(first, lines, path),
    lineInside: (path, line) => lineInside(first, lines, path, line),
    ignoredLine: second && lines.linePos(offsetOf(second.contents) ?? 0).line,
  }
}

/** A carriage return alone also ends a line, and a byte order mark is skipped at the start of any line. */
function normalizeBreaks(text: string): string {
  return text.replaceAll(/\r(?!\n)/g, '\n').replaceAll(/^\uFEFF/gm, '')
}

/** Tags do not matter on collections, and {@link GoDecoder} checks those of scalars; a directive must be known. */
function isError({ code, name }: YAMLError): boolean {
  return name === 'YAMLWarning' ? code === 'BAD_DIRECTIVE' : code !== 'BAD_COLLECTION_TYPE'
}

/** Whether a document in {} or [] has no end: a marker ends it, or the text does. */
function isUnclosed(text: string, { contents }: Document.Parsed): boolean {
  if (!isCollection(contents) || contents.flow !== true) return false
  return !/[}\]]/.test(text.charAt(contents.range[1] - 1))
}

const AFTER_FLOW = 'has text after the bracket that closes the document; remove it'

/** Kubernetes does not read what follows the closing bracket of a whole document; this program refuses it. */
function endOfFlow({ contents }: Document.Parsed): number {
  return isCollection(contents) && contents.flow === true ? contents.range[1] : Infinity
}

/** Where the first document ends: yaml.v2 does not read on. */
function findEnd(text: string, { range: [, start] }: Document.Parsed): number {
  const marker = /^(?:---|\.\.\.)(?=\s|$)/gm
  marker.lastIndex = start
  return marker.exec(text)?.index ?? Infinity
}

/** The first document, and the next one with content. */
function composeTwo(text: string, lines: LineCounter): readonly (Document.Parsed | undefined)[] {
  const tokens = new Parser(lines.addNewLine).parse(text)
  const found: Document.Parsed[] = []
  for (const document of new Composer(OPTIONS).compose(tokens, true, text.length)) {
    if (found.length === 0) found.push(document)
    else if (hasContent(document)) return [found[0], document]
  }
  return [found[0]]
}

function hasContent({ contents }: Document): boolean {
  return contents !== null && !('source' in contents && contents.source === '')
}

/** yaml.v2 knows YAML 1.1 alone (yaml.v2: parserc.go). */
function checkVersion(prelude: string, { directives }: Document): Fault | undefined {
  const { explicit, version } = directives?.yaml ?? {}
  const isTwice = prelude.match(/^%YAML\b[^]*^%YAML\b/m) !== null
  if (!isTwice && (explicit !== true || version === '1.1')) return undefined
  const message = 'has a %YAML directive that Kubernetes refuses'
  return { path: '', message, hint: 'remove it', line: 1 }
}

/** A tab at the start of a line, outside of scalars and flow collections, also on a line without anything else. */
function findTab(text: string, document: Document): number | undefined {
  const tabs = [...text.matchAll(/(?<=^ *)\t/gm)].map(({ index }) => index)
  if (tabs.length === 0) return undefined
  const closed = listClosedValues(document)
  let next = 0
  return tabs.find((tab) => {
    while (tab >= (closed[next]?.[1] ?? Infinity)) next += 1
    const [start] = closed[next] ?? [Infinity]
    return tab <= start
  })
}

/** Where scalars and outermost flow collections are, in order. */
function listClosedValues(document: Document): readonly (readonly [number, number])[] {
  const closed: (readonly [number, number])[] = []
  for (const { node, isInFlow } of walk(document)) {
    if (isInFlow || !(isScalar(node) || (isCollection(node) && node.flow === true))) continue
    const [start, end] = node.range ?? [0, 0]
    closed.push([start, end])
  }
  return closed
}

function decode(document: Document, lines: LineCounter) {
  const decoder = new GoDecoder()
  try {
    return { value: decoder.decode(document.contents), duplicates: decoder.duplicates }
  } catch (thrown) {
    if (!(thrown instanceof GoYamlError)) throw thrown
    return [locate('', thrown.message, lines, thrown.offset)]
  }
}

/**
 * The characters that yaml.v2 does not read at all (yaml.v2: readerc.go), and those that end a line for it and are invisible
 * in an editor, which this program refuses.
 */
// eslint-disable-next-line no-control-regex -- control characters are what it rejects
const FORBIDDEN = /[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F\u2028\u2029\uFEFF\uFFFE\uFFFF]/
const HIDDEN = 'contains an invisible character that is not a space or a line break; remove it'

const NOT_JSON =
  'starts with { and so is read as JSON, which ends here; look for an extra comma, a comment, or text without double quotes'

function readJson(text: string, { strict }: GoReading): Source | readonly Fault[] {
  const lines = new LineCounter()
  const document = withoutStacks(() => parseDocument(text, { ...OPTIONS, lineCounter: lines }))
  const wrong = findJsonError(text)
  if (wrong !== undefined) return [locate('', NOT_JSON, lines, wrong)]
  if (strict) {
    const decoded = decode(document, lines)
    if (!('value' in decoded)) return decoded
    const { duplicates } = decoded
    if (duplicates.length > 0)
      return duplicates.map((error) => describeError(error, document, lines))
  }
  return {
    value: JSON.parse(text) as unknown,
    lineOf: (path) => lineOf(document, lines, path),
    lineInside: (path, line) => lineInside(document, lines, path, line),
  }
}
