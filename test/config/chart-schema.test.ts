import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type AnySchemaObject } from 'ajv'
import { test } from 'tap'
import { parse as parseYaml } from 'yaml'

import { generateChartSchema } from '../../scripts/generate-chart-schema.ts'
import { configShape, type Shape } from '../../src/config/shape.ts'
import { durationPattern } from '../../src/time/duration-pattern.ts'
import { parseDuration } from '../../src/time/duration.ts'
import { parse, VALID } from './valid-config.ts'

const FILE = join(import.meta.dirname, '../../helm/transit-bridge/values.schema.json')
const UNITS = ['ms', 's', 'm', 'h', 'd']

void test("the chart's schema is generated from the program's (npm run generate updates it)", (t) => {
  t.same(JSON.parse(readFileSync(FILE, 'utf8')), JSON.parse(generateChartSchema()))
  t.end()
})

void test('the chart accepts a duration if and only if the program accepts it', (t) => {
  const schema = JSON.parse(readFileSync(FILE, 'utf8')) as AnySchemaObject
  const places = durationsOf(configShape)
  t.equal(places.length, 9)
  for (const path of places) {
    const part = partOf(schema, path)
    // The chart has no setting for the limit of a drill.
    if (part === undefined) continue
    const inChart = new Ajv({ strict: true, strictTypes: false }).compile(part)
    for (const text of samples()) t.equal(inChart(text), isAccepted(path, text), `${path}: ${text}`)
  }
  t.end()
})

void test('the pattern of a range matches the durations within it and no others', (t) => {
  const ranges = [
    ['0s', '30m'],
    ['100ms', '8s'],
    ['1s', '7d'],
    ['37s', '4096s'],
    ['999ms', '1000ms'],
  ] as const
  for (const [min, max] of ranges) {
    const pattern = new RegExp(durationPattern(min, max))
    const [lowest, highest] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0]
    for (const text of samples()) {
      const value = parseDuration(text)
      const isWithin = value !== undefined && value >= lowest && value <= highest
      t.equal(pattern.test(text), isWithin, `${text} in ${min} to ${max}`)
    }
  }
  t.end()
})

void test('every pattern of the chart is a regular expression of Go, too, which helm is written in', (t) => {
  // RE2 has no \u, no lookaround and no back-references (https://github.com/google/re2/wiki/Syntax).
  const text = readFileSync(FILE, 'utf8')
  const patterns = [...text.matchAll(/"pattern": "(.*)"/g)].map(([, pattern = '']) => pattern)
  t.ok(patterns.length > 50)
  for (const pattern of patterns)
    t.notMatch(JSON.parse(`"${pattern}"`), /\\(?:u|[1-9])|\(\?(?!:)/, pattern)
  t.end()
})

/** Amounts around every limit and every change of the number of digits, in every unit, and texts that are not durations. */
function samples(): readonly string[] {
  const limits = [0, 1, 5, 7, 8, 9, 10, 30, 37, 60, 100, 168, 300, 999, 1_800, 3_600, 4_096, 8_000]
  const large = [60_000, 300_000, 1_800_000, 3_600_000, 604_800, 604_800_000, 999_999_999]
  const amounts = [...limits, ...large].flatMap((limit) => [limit - 1, limit, limit + 1])
  const durations = [...new Set(amounts)].flatMap((amount) =>
    UNITS.map((unit) => `${amount}${unit}`),
  )
  return [
    ...durations,
    '030s',
    '',
    's',
    '5',
    '1.5s',
    ' 5s',
    '5s ',
    '5S',
    '5 s',
    '1h30m',
    '5us',
    '1w',
  ]
}

/** The paths of all durations in the configuration. */
function durationsOf(shape: Shape, path = ''): readonly string[] {
  if (shape.kind !== 'mapping') return []
  return [...shape.entries].flatMap(([key, entry]) =>
    entry.kind === 'duration' ? [`${path}${key}`] : durationsOf(entry.shape, `${path}${key}.`),
  )
}

/** The schema of a value of the chart for a key of the configuration. */
function partOf(schema: AnySchemaObject, path: string): AnySchemaObject | undefined {
  const [section = '', ...names] = path.split('.')
  const place = section === 'vault' ? [section, ...names] : [section, 'settings', ...names]
  return place.reduce<AnySchemaObject | undefined>(
    (inner, name) => inner?.['properties']?.[name] as AnySchemaObject | undefined,
    schema,
  )
}

function isAccepted(path: string, text: string): boolean {
  const config = parseYaml(VALID) as Record<string, unknown>
  const names = path.split('.')
  const parent = names.slice(0, -1).reduce((inner, name) => {
    inner[name] ??= {}
    return inner[name] as Record<string, unknown>
  }, config)
  parent[names.at(-1) ?? ''] = text
  try {
    parse(JSON.stringify(config))
    return true
  } catch {
    return false
  }
}
