import { isAlias, isMap, isPair, isScalar, isSeq, Scalar, type Pair } from 'yaml'

import { offsetOf } from '../position.ts'
import { MAX_DUPLICATES, WORDS, type SourceError } from '../syntax-fault.ts'
import { resolveGoScalar } from './scalar.ts'

/** Thrown for a document that Go's decoder rejects as a whole. */
export class GoYamlError extends Error {
  readonly offset: number

  /** `text` is "what is wrong; how to fix it". */
  constructor(offset: number, text: string) {
    super(text)
    this.offset = offset
  }
}

type Key = string | number | boolean
type Mapping = Map<Key, unknown>

/** Share of the values that may come from aliases in a document with fewer than 400,000 values (yaml.v2: decode.go). */
const MAX_ALIAS_SHARE = 0.99
/** Go's decoder allows a smaller share in a document with more values; this one does not read it. */
const MAX_VALUES = 400_000

/**
 * Turns the nodes of a document into values as Kubernetes' Go programs do (sigs.k8s.io/yaml on yaml.v2: decode.go): YAML 1.1
 * words and numbers, merge keys, keys of other types as text, and aliases.
 */
export class GoDecoder {
  /** Keys that are set twice, which only a strict decoder refuses. */
  readonly duplicates: SourceError[] = []
  readonly #anchors = new Map<string, unknown>()
  readonly #open = new Set<unknown>()
  #values = 0
  #fromAliases = 0
  #aliasDepth = 0

  /** Throws {@link GoYamlError}. */
  decode(node: unknown): unknown {
    this.#count(node)
    if (isAlias(node)) return this.#alias(node.source, node)
    if (isScalar(node)) {
      if (node.anchor !== undefined) this.#anchors.set(node.anchor, node)
      return decodeScalar(node)
    }
    if (!isMap(node) && !isSeq(node)) return null
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node)
    this.#open.add(node)
    const value = isMap(node) ? this.#map(node.items) : node.items.map((item) => this.#item(item))
    this.#open.delete(node)
    return value
  }

  /** `[a: 1]` is a list of a mapping. */
  #item(item: unknown): unknown {
    return isPair(item) ? this.#map([item]) : this.decode(item)
  }

  #count(node: unknown): void {
    this.#values += 1
    if (this.#aliasDepth > 0) this.#fromAliases += 1
    const share = this.#fromAliases / this.#values
    const isMany = this.#fromAliases > 100 && this.#values > 1000 && share > MAX_ALIAS_SHARE
    if (isMany || this.#values > MAX_VALUES)
      throw new GoYamlError(
        offsetOf(node) ?? 0,
        'contains too many aliases or values; write them in full',
      )
  }

  #alias(name: string, node: unknown): unknown {
    const target = this.#resolve(name, node)
    this.#aliasDepth += 1
    const value = this.decode(target)
    this.#aliasDepth -= 1
    return value
  }

  #resolve(name: string, node: unknown): unknown {
    const target = this.#anchors.get(name)
    if (target === undefined) throw new GoYamlError(offsetOf(node) ?? 0, WORDS.BAD_ALIAS)
    if (!this.#open.has(target)) return target
    throw new GoYamlError(offsetOf(node) ?? 0, 'an alias is inside the value that it refers to')
  }

  #map(pairs: readonly Pair[]): Readonly<Record<string, unknown>> {
    const mapping: Mapping = new Map()
    this.#fill(mapping, pairs)
    return Object.fromEntries([...mapping].map(([key, value]) => [String(key), value]))
  }

  #fill(mapping: Mapping, pairs: readonly Pair[]): void {
    for (const { key, value } of pairs) {
      if (isMergeKey(key)) this.#merge(mapping, value)
      else this.#set(mapping, this.#key(key), key, this.decode(value))
    }
  }

  #set(mapping: Mapping, name: Key, key: unknown, value: unknown): void {
    const offset = offsetOf(key) ?? 0
    if (mapping.has(name) && this.duplicates.length < MAX_DUPLICATES)
      this.duplicates.push({ code: 'DUPLICATE_KEY', pos: [offset, offset] })
    mapping.set(name, value)
  }

  #key(node: unknown): Key {
    const key = this.decode(node)
    if (typeof key === 'string' || typeof key === 'number' || typeof key === 'boolean') return key
    throw new GoYamlError(offsetOf(node) ?? 0, WORDS.NON_STRING_KEY)
  }

  /** Later keys override earlier ones, wherever the merge key is; of several mappings, the first one applies. */
  #merge(mapping: Mapping, value: unknown): void {
    const sources = isSeq(value) ? value.items.toReversed() : [value]
    for (const source of sources) {
      this.#count(source)
      const target = isAlias(source) ? this.#resolve(source.source, source) : source
      if (!isMap(target))
        throw new GoYamlError(offsetOf(source) ?? 0, 'a merge key (<<) needs a mapping')
      if (target.anchor !== undefined) this.#anchors.set(target.anchor, target)
      if (isAlias(source)) this.#aliasDepth += 1
      this.#fill(mapping, target.items)
      if (isAlias(source)) this.#aliasDepth -= 1
    }
  }
}

function isMergeKey(node: unknown): boolean {
  if (!isScalar(node) || node.source !== '<<') return false
  return node.tag === undefined ? node.type === Scalar.PLAIN : node.tag.endsWith(':merge')
}

function decodeScalar(node: Scalar): unknown {
  const { source = '', type, tag } = node
  const isPlain = type === undefined || type === Scalar.PLAIN || tag === '!'
  if (tag === undefined && !isPlain) return source
  const value = resolveGoScalar(source, tag === '!' ? undefined : tag)
  if (value === undefined)
    throw new GoYamlError(offsetOf(node) ?? 0, 'a value does not match its tag; remove the tag')
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new GoYamlError(offsetOf(node) ?? 0, 'a number is infinite or not a number')
  return value
}
