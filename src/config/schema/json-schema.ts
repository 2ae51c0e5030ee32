import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema'

import type { Path } from '../../yaml/fault.ts'
import { REQUIRED_WITH_KMS } from '../required-keys.ts'
import { configSchema } from './config-schema.ts'

/** Checks of the program that JSON Schema cannot express; the descriptions mention them. */
const BEYOND_JSON_SCHEMA = ['check', 'partial_check', 'transform', 'metadata']

/**
 * The JSON Schema of a configuration file as it is written: draft 7, which editors support. `adaptPart` adapts each part
 * of it; by default, every text may also be a variable.
 */
export function createJsonSchema(
  adaptPart: (part: JsonSchema) => JsonSchema = allowVariables,
): JsonSchema {
  const schema = toJsonSchema(configSchema, {
    typeMode: 'input',
    target: 'draft-07',
    ignoreActions: BEYOND_JSON_SCHEMA,
  })
  return {
    title: 'transit-bridge',
    ...adapt(schema, adaptPart),
    if: requireKeys([['kms']]),
    // eslint-disable-next-line unicorn/no-thenable -- a JSON Schema keyword
    then: requireKeys(REQUIRED_WITH_KMS),
  }
}

/** A schema that requires keys. The keys around them may themselves be optional. */
function requireKeys(paths: readonly Path[]): JsonSchema {
  const keys = new Set(paths.map(([key]) => String(key)))
  const inside = (key: string) =>
    paths.filter((path) => path.length > 1 && path[0] === key).map((path) => path.slice(1))
  return {
    required: paths.filter((path) => path.length === 1).map(([key]) => String(key)),
    properties: Object.fromEntries([...keys].map((key) => [key, requireKeys(inside(key))])),
  }
}

/** Adapts a schema, and all schemas inside it, to what a person writes in an editor. */
function adapt(schema: JsonSchema, change: (schema: JsonSchema) => JsonSchema): JsonSchema {
  const adaptIfSchema = (part: Definition) => (isOneSchema(part) ? adapt(part, change) : part)
  const adapted = describeDefault(change(schema))
  if (adapted.properties !== undefined) {
    const properties = Object.entries(adapted.properties)
    adapted.properties = Object.fromEntries(
      properties.map(([key, part]) => [key, adaptIfSchema(part)]),
    )
  }
  if (isOneSchema(adapted.items)) adapted.items = adapt(adapted.items, change)
  if (adapted.anyOf !== undefined) adapted.anyOf = adapted.anyOf.map(adaptIfSchema)
  if (adapted.oneOf !== undefined) adapted.oneOf = adapted.oneOf.map(adaptIfSchema)
  return adapted
}

type Definition = JsonSchema | boolean

function isOneSchema(schema: Definition | readonly Definition[] | undefined): schema is JsonSchema {
  return typeof schema === 'object' && !Array.isArray(schema)
}

/** The form of a value from the environment is not known before the program starts. */
function allowVariables(schema: JsonSchema): JsonSchema {
  if (schema.pattern === undefined) return { ...schema }
  return { ...schema, pattern: `${schema.pattern}|\\$\\{` }
}

/** Editors show descriptions, but not every editor shows defaults. */
function describeDefault(schema: JsonSchema): JsonSchema {
  if (schema.default === undefined || typeof schema.default === 'object') return schema
  return {
    ...schema,
    description: `${schema.description ?? ''} Default: ${schema.default}.`.trim(),
  }
}
