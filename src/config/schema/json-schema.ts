import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema'

import type { Path } from '../../yaml/fault.ts'
import { NEEDED_WITH_KMS } from '../needed.ts'
import { configSchema } from './config-schema.ts'

/** Checks of the program that JSON Schema has no words for; what they say is in the descriptions. */
const BEYOND_JSON_SCHEMA = ['check', 'partial_check', 'transform', 'metadata']

/** The JSON Schema (draft 7, which editors know) of a configuration file as it is written. */
export function createJsonSchema(): JsonSchema {
  const schema = toJsonSchema(configSchema, {
    typeMode: 'input',
    target: 'draft-07',
    ignoreActions: BEYOND_JSON_SCHEMA,
  })
  return {
    title: 'transit-bridge',
    ...adapt(schema),
    if: requireKeys([['kms']]),
    // eslint-disable-next-line unicorn/no-thenable -- a word of JSON Schema
    then: requireKeys(NEEDED_WITH_KMS),
  }
}

/** A schema that asks for keys, each below those that are asked for or may be left out. */
function requireKeys(paths: readonly Path[]): JsonSchema {
  const keys = new Set(paths.map(([key]) => String(key)))
  const inside = (key: string) =>
    paths.filter((path) => path.length > 1 && path[0] === key).map((path) => path.slice(1))
  return {
    required: paths.filter((path) => path.length === 1).map(([key]) => String(key)),
    properties: Object.fromEntries([...keys].map((key) => [key, requireKeys(inside(key))])),
  }
}

/** Makes a schema, and all inside it, fit what a person writes in an editor. */
function adapt(schema: JsonSchema): JsonSchema {
  const adapted = nameDefault(allowVariables(schema))
  if (adapted.properties !== undefined) adapted.properties = adaptEach(adapted.properties)
  if (isOneSchema(adapted.items)) adapted.items = adapt(adapted.items)
  if (adapted.anyOf !== undefined) adapted.anyOf = adapted.anyOf.map(adaptIfSchema)
  if (adapted.oneOf !== undefined) adapted.oneOf = adapted.oneOf.map(adaptIfSchema)
  return adapted
}

type Definition = JsonSchema | boolean

function adaptEach(properties: Readonly<Record<string, Definition>>): Record<string, Definition> {
  return Object.fromEntries(
    Object.entries(properties).map(([key, schema]) => [key, adaptIfSchema(schema)]),
  )
}

function adaptIfSchema(schema: Definition): Definition {
  return isOneSchema(schema) ? adapt(schema) : schema
}

function isOneSchema(schema: Definition | readonly Definition[] | undefined): schema is JsonSchema {
  return typeof schema === 'object' && !Array.isArray(schema)
}

/** A value may come from the environment, and then its form is not known before the program starts. */
function allowVariables(schema: JsonSchema): JsonSchema {
  if (schema.pattern === undefined) return { ...schema }
  return { ...schema, pattern: `${schema.pattern}|\\$\\{` }
}

/** Editors show descriptions when they show nothing else. */
function nameDefault(schema: JsonSchema): JsonSchema {
  if (schema.default === undefined || typeof schema.default === 'object') return schema
  return {
    ...schema,
    description: `${schema.description ?? ''} Default: ${schema.default}.`.trim(),
  }
}
