import { isNode, isPair, isScalar, Scalar, type Document, type Node, type Pair } from 'yaml'

import { WORDS } from '../syntax-fault.ts'
import { walk } from '../walk.ts'

export interface SyntaxFault {
  readonly offset: number
  /** "what is wrong; how to fix it". */
  readonly text: string
}

/** What YAML 1.2 allows and yaml.v2 does not, or reads in another way (yaml.v2: scannerc.go). */
export function findOldSyntaxFault(text: string, document: Document): SyntaxFault | undefined {
  for (const { node, isInFlow } of walk(document)) {
    const fault = isPair(node)
      ? isInFlow
        ? findBrokenKey(text, node)
        : undefined
      : isNode(node)
        ? findNodeFault(text, node, isInFlow)
        : undefined
    if (fault !== undefined) return fault
  }
  return undefined
}

function findNodeFault(text: string, node: Node, isInFlow: boolean): SyntaxFault | undefined {
  const name = 'source' in node ? (isScalar(node) ? node.anchor : node.source) : node.anchor
  const [offset] = node.range ?? [0]
  if (typeof name === 'string' && !/^[\w-]+$/.test(name)) return { offset, text: BAD_NAME }
  if (!isScalar(node)) return undefined
  if (node.type === Scalar.QUOTE_DOUBLE && ESCAPED_SLASH.test(sourceOf(text, node)))
    return { offset, text: WORDS.BAD_DQ_ESCAPE }
  const isMarked = node.type === Scalar.PLAIN && /^[:?]/.test(node.source ?? '')
  return isMarked && isInFlow ? { offset, text: STARTS_WITH_MARK } : undefined
}

const STARTS_WITH_MARK = 'plain text in [] or {} starts with : or ?; put it in quotes'
const BAD_NAME = 'the name of an anchor or alias has characters other than letters, digits, - and _'

/** YAML 1.1 has no escape for a slash, which JSON has. */
const ESCAPED_SLASH = /(?<!\\)(?:\\\\)*\\\//

function sourceOf(text: string, { range }: Scalar): string {
  const [start, end] = range ?? [0, 0]
  return text.slice(start, end)
}

const WITHOUT_SPACE = 'plain text in [] or {} has a colon without a space after it; add the space'

/** A key over several lines, or whose colon is on a later one, or has no space after it. */
function findBrokenKey(text: string, { key }: Pair): SyntaxFault | undefined {
  if (!isNode(key) || !isScalar(key)) return undefined
  const [start, end] = key.range ?? [0, 0]
  const rest = text.slice(end, end + 100)
  if (key.type === Scalar.PLAIN && /^:\S/.test(rest)) return { offset: end, text: WITHOUT_SPACE }
  const isBroken = text.slice(start, end).includes('\n') || /^[ \t]*\r?\n\s*:/.test(rest)
  return isBroken ? { offset: end, text: WORDS.MULTILINE_IMPLICIT_KEY } : undefined
}
