import { formatPath, type Path } from '../fault.ts'
import { nameType } from '../type-words.ts'
import { isBase64 } from './scalar.ts'

/** Collects where values have wrong types. Its texts contain no value. */
export interface ShapeContext {
  readonly at: Path
  readonly faults: string[]
}

/**
 * Decodes a value as Go's JSON decoder does for a struct without strict checks: unknown fields are ignored, null and absent
 * are the zero value, and another type is a fault.
 */
export type Shape<Value> = (value: unknown, context: ShapeContext) => Value

export const text: Shape<string> = (value, context) =>
  isAbsent(value) ? '' : typeof value === 'string' ? value : refuse(value, context, 'text', '')

export const bool: Shape<boolean> = (value, context) =>
  isAbsent(value)
    ? false
    : typeof value === 'boolean'
      ? value
      : refuse(value, context, 'true or false', false)

/** `[]byte`: base64, decoded. */
export const bytes: Shape<Buffer> = (value, context) => {
  const encoded = text(value, context)
  if (isBase64(encoded)) return Buffer.from(encoded, 'base64')
  context.faults.push(`${formatPath(context.at)} is not base64`)
  return Buffer.alloc(0)
}

/** Any JSON. */
export const raw: Shape<unknown> = (value) => value

export function list<Item>(item: Shape<Item>): Shape<readonly Item[]> {
  return (value, context) => {
    if (isAbsent(value)) return []
    if (!Array.isArray(value)) return refuse(value, context, 'a list', [])
    return value.map((each: unknown, index) => item(each, inside(context, index)))
  }
}

export function record<Item>(item: Shape<Item>): Shape<Readonly<Record<string, Item>>> {
  return (value, context) => {
    return Object.fromEntries(
      Object.entries(readFields(value, context)).map(([name, each]) => [
        name,
        item(each, inside(context, name)),
      ]),
    )
  }
}

export function struct<Fields extends Readonly<Record<string, Shape<unknown>>>>(
  fields: Fields,
): Shape<{ readonly [Name in keyof Fields]: ReturnType<Fields[Name]> }> {
  return (value, context) => {
    const found = readFields(value, context)
    const decoded = Object.entries(fields).map(([name, field]) => [
      name,
      field(Object.hasOwn(found, name) ? found[name] : undefined, inside(context, name)),
    ])
    return Object.fromEntries(decoded) as { [Name in keyof Fields]: ReturnType<Fields[Name]> }
  }
}

/** A pointer: undefined for null and absent. */
export function pointer<Value>(target: Shape<Value>): Shape<Value | undefined> {
  return (value, context) => (isAbsent(value) ? undefined : target(value, context))
}

/** The value, or the first fault. */
export function decodeShape<Value>(
  shape: Shape<Value>,
  value: unknown,
): { readonly value: Value } | { readonly fault: string } {
  const faults: string[] = []
  const decoded = shape(value, { at: [], faults })
  const [fault] = faults
  return fault === undefined ? { value: decoded } : { fault }
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined
}

function readFields(value: unknown, context: ShapeContext): Readonly<Record<string, unknown>> {
  if (isAbsent(value)) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  return refuse(value, context, 'a mapping', {})
}

function inside({ at, faults }: ShapeContext, part: string | number): ShapeContext {
  return { at: [...at, part], faults }
}

function refuse<Value>(
  value: unknown,
  { at, faults }: ShapeContext,
  expected: string,
  zero: Value,
): Value {
  const place = formatPath(at)
  faults.push(`${place === '' ? 'the file' : place} must be ${expected}, not ${nameType(value)}`)
  return zero
}
