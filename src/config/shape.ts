import type { Path } from '../yaml/fault.ts'
import { configSchema } from './schema/config-schema.ts'

/** The schema as a tree of keys, for messages and for the reference. */
export type Shape =
  | { readonly kind: 'mapping'; readonly entries: Entries }
  | {
      readonly kind: 'variant'
      readonly key: string
      readonly options: ReadonlyMap<string, Entries>
    }
  | { readonly kind: 'list'; readonly item: Shape }
  | { readonly kind: 'value'; readonly choices: readonly string[] }

export type Entries = ReadonlyMap<string, Entry>

/** One key. */
export interface Entry {
  readonly shape: Shape
  readonly required: boolean
  /** The default as it is written in a file; undefined if there is none. */
  readonly fallback: unknown
  readonly description: string
  /** The kind of value in words: `duration`, `file`. Empty for a section. */
  readonly kind: string
}

/** The parts of a valibot schema that are read here; every schema of valibot is assignable to it. */
interface SchemaView {
  readonly type: string
  readonly entries?: Readonly<Record<string, SchemaView>>
  readonly wrapped?: SchemaView
  readonly item?: SchemaView
  readonly key?: string
  readonly options?: readonly (SchemaView | string)[]
  readonly literal?: unknown
  readonly default?: unknown
  readonly pipe?: readonly MetadataView[]
}

interface MetadataView {
  readonly type: string
  readonly description?: string
  readonly metadata?: unknown
}

/** The shape of the whole file. */
export const configShape: Shape = readShape(configSchema)

function readShape(schema: SchemaView): Shape {
  if (schema.wrapped !== undefined) return readShape(schema.wrapped)
  if (schema.entries !== undefined) return { kind: 'mapping', entries: readEntries(schema) }
  if (schema.item !== undefined) return { kind: 'list', item: readShape(schema.item) }
  const options = schema.options ?? []
  if (schema.type === 'variant') return readVariant(schema.key ?? '', options.filter(isSchema))
  if (schema.type === 'literal') return { kind: 'value', choices: [String(schema.literal)] }
  return { kind: 'value', choices: options.filter((option) => typeof option === 'string') }
}

function readVariant(key: string, options: readonly SchemaView[]): Shape {
  const named = options.map(
    (option) => [readDiscriminator(option, key), readEntries(option)] as const,
  )
  return { kind: 'variant', key, options: new Map(named) }
}

function readDiscriminator(option: SchemaView, key: string): string {
  const schema = option.entries?.[key]
  return String(schema?.wrapped?.literal ?? schema?.literal)
}

function readEntries(schema: SchemaView): Entries {
  return new Map(
    Object.entries(schema.entries ?? {}).map(([key, entry]) => [key, readEntry(entry)]),
  )
}

function readEntry(schema: SchemaView): Entry {
  const inner = schema.wrapped ?? schema
  return {
    shape: readShape(inner),
    required: schema.wrapped === undefined,
    fallback: schema.default,
    description: inner.pipe?.find((item) => item.type === 'description')?.description ?? '',
    kind: readKind(inner.pipe?.find((item) => item.type === 'metadata')?.metadata),
  }
}

function readKind(metadata: unknown): string {
  if (typeof metadata !== 'object' || metadata === null || !('kind' in metadata)) return ''
  return String(metadata.kind)
}

function isSchema(option: SchemaView | string): option is SchemaView {
  return typeof option !== 'string'
}

/** The keys allowed at a path of the file with this value; the value selects the option of a variant. */
export function findEntries(path: Path, value: unknown): Entries {
  let shape: Shape | undefined = configShape
  let here: unknown = value
  for (const part of path) {
    shape =
      shape?.kind === 'list' ? shape.item : shape && entriesOf(shape, here).get(String(part))?.shape
    here = readKey(here, part)
  }
  return shape === undefined ? new Map() : entriesOf(shape, here)
}

function entriesOf(shape: Shape, value: unknown): Entries {
  if (shape.kind === 'mapping') return shape.entries
  if (shape.kind !== 'variant') return new Map()
  const [first = ''] = shape.options.keys()
  const chosen = readKey(value, shape.key) ?? first
  return (typeof chosen === 'string' ? shape.options.get(chosen) : undefined) ?? new Map()
}

/** The value at a path; undefined if there is none. */
export function readAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(readKey, value)
}

function readKey(value: unknown, key: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Readonly<Record<string | number, unknown>>)[key]
}

/** Paths with a list where a mapping belongs. valibot accepts a list as a mapping, and an empty one as an empty mapping. */
export function findListsForMappings(
  value: unknown,
  shape = configShape,
  path: Path = [],
): readonly Path[] {
  if (shape.kind === 'value') return []
  if (shape.kind === 'list') {
    if (!Array.isArray(value)) return []
    return value.flatMap((item, index) => findListsForMappings(item, shape.item, [...path, index]))
  }
  if (Array.isArray(value)) return [path]
  return [...entriesOf(shape, value)].flatMap(([key, entry]) =>
    findListsForMappings(readKey(value, key), entry.shape, [...path, key]),
  )
}
