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
      const offset = ancestors.some(isFlow) ? findBrokenKey(text, pair) : undefined
      return offset === undefined ? undefined : found(offset, WORDS.MULTILINE_IMPLICIT_KEY)
    },
  })
  return fault
}

const STARTS_WITH_MARK = 'plain text in [] or {} starts with : or ?; put it in quotes'
const BAD_NAME = 'the name of an anchor or alias has other characters than letters, digits, - and _'

/** YAML 1.1 has no escape for a slash, which JSON has. */
const ESCAPED_SLASH = /(?<!\\)(?:\\\\)*\\\//

function sourceOf(text: string, { range }: Scalar): string {
  const [start, end] = range ?? [0, 0]
  return text.slice(start, end)
}

function isFlow(node: unknown): boolean {
  return isCollection(node) && node.flow === true
}

/** A key over several lines, or whose colon is on a later one. */
function findBrokenKey(text: string, { key }: Pair): number | undefined {
  if (!isNode(key) || !isScalar(key)) return undefined
  const [start, end] = key.range ?? [0, 0]
  const isBroken = text.slice(start, end).includes('\n')
  return isBroken || /^[ \t]*\r?\n\s*:/.test(text.slice(end, end + 100)) ? end : undefined
}
