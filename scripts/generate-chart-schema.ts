// Writes those parts of the chart's values.schema.json that the program reads, from the schema of its configuration, so that the
// program accepts every value that the chart accepts. Values of pods and monitors are in chart-pod-schema.ts. The other parts are
// written by hand.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { JsonSchema } from '@valibot/to-json-schema'

import { createJsonSchema } from '../src/config/schema/json-schema.ts'
import { durationPattern } from '../src/time/duration-pattern.ts'
import { otherValues, partValues, requiredValues, type Schema } from './chart-pod-schema.ts'

const FILE = join(import.meta.dirname, '../helm/transit-bridge/values.schema.json')

/** What the chart itself writes into a section; everything else is under its `settings`. */
const SET_BY_CHART = {
  kms: ['socket', 'clusterId'],
  csi: ['socket', 'audience', 'auth', 'mount', 'rules', 'runtime'],
} as const

/** Texts that the chart copies into the configuration: where the chart has them, and where the program. */
const COPIED = [
  ['transit.mount', 'transit.mount'],
  ['transit.key', 'transit.key'],
  ['kms.auth.role', 'vault.auth.role'],
  ['kms.token.audience', 'vault.auth.audience'],
  ['csi.audience', 'csi.audience'],
] as const
/** The same, for texts that are empty if they are not set. */
const COPIED_OR_EMPTY = [
  ['vault.namespace', 'vault.namespace'],
  ['vault.serverName', 'vault.serverName'],
  ['kms.clusterId', 'kms.clusterId'],
  ['kms.auth.mount', 'vault.auth.mount'],
  ['kms.auth.issuer', 'vault.auth.issuer'],
  ['csi.auth.mount', 'csi.auth.mount'],
  ['csi.auth.namespace', 'csi.auth.namespace'],
  ['csi.mount', 'csi.mount'],
] as const

/** The chart's schema, with the generated parts from the current configuration schema. */
export function generateChartSchema(): string {
  const chart = JSON.parse(readFileSync(FILE, 'utf8')) as Schema
  const program = JSON.parse(JSON.stringify(createJsonSchema(withoutDefault))) as Schema
  const find = (...path: readonly string[]) => findIn(program, path)
  for (const [section, names] of Object.entries(SET_BY_CHART)) {
    const { properties } = find(section)
    const isSetting = ([name]: readonly [string, Schema]) =>
      !names.some((setByChart) => setByChart === name)
    const settings = Object.entries(properties ?? {}).filter(isSetting)
    replace(chart, [section, 'settings'], {
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(settings),
    })
  }
  replace(chart, ['csi', 'rules'], find('csi', 'rules'))
  replace(chart, ['csi', 'runtime'], {
    type: 'object',
    additionalProperties: false,
    properties: {
      enabled: { type: 'boolean' },
      driverName: find('csi', 'runtime', 'driverName'),
      kubeletFolder: { type: 'string', pattern: '^/[\\w./-]*[\\w.-]$' },
      tokenExpirationSeconds: { type: 'integer', minimum: 600 },
      maxRequestsPerSecond: find('csi', 'runtime', 'maxRequestsPerSecond'),
    },
  })
  replace(chart, ['vault', 'timeout'], find('vault', 'timeout'))
  for (const [path, source] of COPIED)
    replace(chart, path.split('.'), copyText(find(...source.split('.'))))
  for (const [path, source] of COPIED_OR_EMPTY)
    replace(chart, path.split('.'), copyText(find(...source.split('.')), '^$|'))
  replace(chart, ['kms', 'staticPod', 'interval'], {
    type: 'string',
    // The minimum of install-node --interval.
    pattern: durationPattern('1s'),
    description: 'How often the installer checks the host. At least 1s.',
  })
  for (const part of ['kms', 'csi']) {
    for (const [name, schema] of Object.entries(partValues)) replace(chart, [part, name], schema)
  }
  for (const [path, schema] of otherValues) replace(chart, path, schema)
  for (const [path, names] of requiredValues) require(chart, path, names)
  return `${JSON.stringify(chart, null, 2)}\n`
}

function copyText({ pattern }: Schema, orElse = ''): Schema {
  if (typeof pattern !== 'string') throw new Error('the program accepts any text')
  return { type: 'string', pattern: `${orElse}${pattern}` }
}

function replace(schema: Schema, path: readonly string[], part: Schema): void {
  const { properties } = findIn(schema, path.slice(0, -1))
  if (properties !== undefined) properties[path.at(-1) ?? ''] = part
}

/** Rejects null for a value that a template needs. */
function require(schema: Schema, path: readonly string[], names: readonly string[]): void {
  Object.assign(findIn(schema, path), { required: names })
}

/** The chart has its defaults in values.yaml, and no variables. */
function withoutDefault({ default: _default, ...part }: JsonSchema): JsonSchema {
  return part
}

function findIn(schema: Schema, path: readonly string[]): Schema {
  return path.reduce((inner, name) => {
    // A method of login: all have the same texts.
    const [first = {}] = (inner['oneOf'] as Schema[] | undefined) ?? []
    const found = (inner.properties ?? first.properties)?.[name]
    if (found === undefined) throw new Error(`the schema has no ${path.join('.')}`)
    return found
  }, schema)
}

if (import.meta.main) writeFileSync(FILE, generateChartSchema())
