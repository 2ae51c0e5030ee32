import { isCollection, isPair, type Document } from 'yaml'

/** A node, pair or missing value of a document. */
export interface Place {
  readonly node: unknown
  /** The pair or collection that contains it. */
  readonly parent: Place | undefined
  /** Whether it is inside [] or {}. */
  readonly isInFlow: boolean
}

/**
 * Visits everything in a document in the order of the text. Unlike `visit` of the library, which copies the list of
 * ancestors at each level, it takes time proportional to the number of nodes, no matter how deep they are.
 */
export function* walk({ contents }: Document): Generator<Place, undefined> {
  const waiting: Place[] = [{ node: contents, parent: undefined, isInFlow: false }]
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    yield place
    const { node } = place
    const isInFlow = place.isInFlow || (isCollection(node) && node.flow === true)
    for (const child of childrenOf(node).toReversed())
      waiting.push({ node: child, parent: place, isInFlow })
  }
}

function childrenOf(node: unknown): readonly unknown[] {
  if (isPair(node)) return [node.key, node.value]
  return isCollection(node) ? node.items : []
}

/** What contains a place, from the inside. */
export function* ancestorsOf({ parent }: Place): Generator<unknown, undefined> {
  for (let place = parent; place !== undefined; place = place.parent) yield place.node
}
