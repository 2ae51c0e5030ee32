import {
  isPair,
  isScalar,
  type Document,
  type ErrorCode,
  type LineCounter,
  type YAMLError,
} from 'yaml'

import { formatPath, splitMessage, type Fault, type Path } from './fault.ts'
import { offsetOf } from './position.ts'
import { ancestorsOf, walk } from './walk.ts'

/** An error of the library, without its message. */
export type SourceError = Pick<YAMLError, 'code' | 'pos'>

/** Messages for the library's error codes. Its own messages quote the source, which may be a secret. */
export const WORDS: Readonly<Record<ErrorCode, string>> = {
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

/** Each duplicate costs a walk through the whole document, and 20 are enough to start fixing. */
export const MAX_DUPLICATES = 20

/** The fault for an error of the library. */
export function describeError(error: SourceError, document: Document, lines: LineCounter): Fault {
  const [offset] = error.pos
  const path = error.code === 'DUPLICATE_KEY' ? formatPath(findKey(document, offset)) : ''
  return locate(path, WORDS[error.code], lines, offset)
}

/** A fault at an offset; `text` is "what is wrong; how to fix it". */
export function locate(path: string, text: string, lines: LineCounter, offset: number): Fault {
  const { line, col } = lines.linePos(offset)
  return { path, ...splitMessage(text), line, column: col }
}

/** The path of the key at an offset. */
function findKey(document: Document, offset: number): Path {
  for (const place of walk(document)) {
    const { node } = place
    if (!isPair(node) || offsetOf(node.key) !== offset) continue
    const pairs = [node, ...ancestorsOf(place)].filter(isPair)
    return pairs.toReversed().map(({ key }) => (isScalar(key) ? String(key.value) : '?'))
  }
  return []
}

/** A syntax error causes others up to the end of the file; only the first one is reported. */
export function withoutFollowers(errors: readonly SourceError[]): readonly SourceError[] {
  const inOrder = errors.toSorted((one, other) => one.pos[0] - other.pos[0])
  const first = inOrder.findIndex(({ code }) => code !== 'DUPLICATE_KEY')
  return first < 0 ? inOrder : inOrder.slice(0, first + 1)
}
