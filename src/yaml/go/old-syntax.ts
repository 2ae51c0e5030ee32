import { isCollection, isNode, isScalar, Scalar, visit, type Document, type Pair } from 'yaml'

import { WORDS } from '../syntax-fault.ts'

export interface SyntaxFault {
  readonly offset: number
  /** "what is wrong; how to fix it". */
  readonly text: string
}

/** What YAML 1.2 allows and yaml.v2 does not, or reads in another way (yaml.v2: scannerc.go). */
export function findOldSyntaxFault(text: string, document: Document): SyntaxFault | undefined {
  let fault: SyntaxFault | undefined
  const found = (offset: number, words: string) => {
    fault = { offset, text: words }
    return visit.BREAK
  }
  visit(document, {
    Node(_position, node, ancestors) {
      const name = 'source' in node ? (isScalar(node) ? node.anchor : node.source) : node.anchor
      const [start] = node.range ?? [0]
      if (name !== undefined && !/^[\w-]+$/.test(name)) return found(start, BAD_NAME)
      if (!isScalar(node)) return undefined
      if (node.type === Scalar.QUOTE_DOUBLE && ESCAPED_SLASH.test(sourceOf(text, node)))
        return found(start, WORDS.BAD_DQ_ESCAPE)
      if (node.type !== Scalar.PLAIN || !/^[:?]/.test(node.source ?? '')) return undefined
      return ancestors.some(isFlow) ? found(start, STARTS_WITH_MARK) : undefined
    },
    Pair(_position, pair, ancestors) {
      if (!ancestors.some(isFlow)) return undefined
      const broken = findBrokenKey(text, pair)
      return broken === undefined ? undefined : found(broken.offset, broken.text)
    },
  })
  return fault
}

const STARTS_WITH_MARK = 'plain text in [] or {} starts with : or ?; put it in quotes'
const BAD_NAME = 'the name of an anchor or alias has characters other than letters, digits, - and _'

/** YAML 1.1 has no escape for a slash, which JSON has. */
const ESCAPED_SLASH = /(?<!\\)(?:\\\\)*\\\//

function sourceOf(text: string, { range }: Scalar): string {
  const [start, end] = range ?? [0, 0]
  return text.slice(start, end)
}

function isFlow(node: unknown): boolean {
  return isCollection(node) && node.flow === true
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
