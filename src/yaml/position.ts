import { isPair, isScalar, type Document, type LineCounter } from 'yaml'

import type { Path } from './fault.ts'

/** The text of a scalar as it is written, without quotes. Undefined for anything else, also for an alias. */
export function textOf(document: Document, path: Path): string | undefined {
  let node: unknown = document.contents
  for (const part of path) node = findChild(node, part)?.node
  return isScalar(node) ? node.source : undefined
}

/**
 * Where a line of a text value is in the file: at its own line if the text is a block, after `|` or `>`; otherwise at the line of
 * its key.
 * @param line its number in the text
 */
export function lineInside(
  document: Document,
  lines: LineCounter,
  path: Path,
  line: number,
): number {
  let node: unknown = document.contents
  for (const part of path) node = findChild(node, part)?.node
  const isBlock = isScalar(node) && (node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED')
  return isBlock ? lines.linePos(offsetOf(node) ?? 0).line + line : lineOf(document, lines, path)
}

/** The line of a key or list item; for a missing one the line of its parent. */
export function lineOf(document: Document, lines: LineCounter, path: Path): number {
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

/** Where a node starts; undefined for what has no place in the text. */
export function offsetOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined
  return Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : undefined
}
