import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type AnySchemaObject } from 'ajv'
import { test } from 'tap'
import { parse as parseYaml } from 'yaml'

import { generateDocument } from '../../scripts/generate-docs.ts'
import { createJsonSchema } from '../../src/config/schema/json-schema.ts'
import { configShape, type Entry, type Shape } from '../../src/config/shape.ts'
import { change, parse, VALID } from './valid-config.ts'

const document = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8')
const examples = [...document.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text)
const schema = JSON.parse(JSON.stringify(createJsonSchema())) as AnySchemaObject
const validate = new Ajv({ strict: true, strictTypes: false, allErrors: true }).compile(schema)

void test('the reference matches the schema (npm run generate updates it)', async (t) => {
  t.equal(document, await generateDocument())
})

void test('the examples in the documentation are valid for the program and for the JSON Schema', async (t) => {
  t.equal(examples.length, 2)
  for (const text of examples) {
    t.doesNotThrow(() => parse(text))
    t.ok(validate(parseYaml(text)), JSON.stringify(validate.errors))
  }
})

void test('the complete example has every key except those of other methods', async (t) => {
  const missing = keysOf(configShape, '').filter(
    (key) => !new RegExp(`^\\s*(- )?${key}:`, 'm').test(examples[1] ?? ''),
  )
  t.strictSame(
    missing.toSorted(),
    ['allowPlaintext', 'certFile', 'keyFile', 'namespace'].filter((key) => missing.includes(key)),
  )
})

void test('the JSON Schema rejects what the program rejects, if JSON Schema can express it', async (t) => {
  t.ok(validate(parseYaml(VALID)), JSON.stringify(validate.errors))
  const wrong = [
    ['timeout: 2s', 'timout: 2s'],
    ['timeout: 2s', 'timeout: 2'],
    ['timeout: 2s', 'timeout: soon'],
    ['method: jwt', 'method: ldap'],
    ['key: k8s-etcd', 'key: a/b'],
    ['"0600"', '0600'],
    ['maxCallsInFlight: 1024', 'maxCallsInFlight: 0'],
    ['[publicKey]', '[password]'],
    ['  clusterId: prod-eu-1\n', ''],
  ] as const
  for (const [text, instead] of wrong) t.notOk(validate(parseYaml(change(text, instead))), instead)
})

void test('the JSON Schema requires a login and a key if there is a section kms', async (t) => {
  const alone = { vault: { address: 'https://vault' }, csi: { audience: 'vault' } }
  t.ok(validate(alone), JSON.stringify(validate.errors))
  t.ok(validate({ ...alone, transit: {} }), JSON.stringify(validate.errors))
  const auth = { role: 'kms', tokenFile: '/token' }
  const whole = {
    vault: { ...alone.vault, auth },
    transit: { key: 'k8s' },
    kms: { clusterId: 'c' },
  }
  t.ok(validate(whole), JSON.stringify(validate.errors))
  t.notOk(validate({ ...whole, vault: alone.vault }))
  t.notOk(validate({ ...whole, transit: {} }))
  t.notOk(validate({ vault: whole.vault, kms: whole.kms }))
})

void test('the JSON Schema accepts a variable in place of any text', async (t) => {
  for (const text of ['2s', 'k8s-etcd', '127.0.0.1:9390', '"0600"']) {
    t.ok(validate(parseYaml(change(`: ${text}`, ': ${NAME}'))), text)
  }
})

void test('every key has a kind, and a description that starts with a capital and ends with a period', async (t) => {
  for (const [path, entry] of entriesOf(configShape, '')) {
    t.match(entry.description, /^[A-Z].*\.$/s, path)
    t.ok(
      entry.kind !== '' || entry.shape.kind === 'mapping' || entry.shape.kind === 'variant',
      path,
    )
  }
})

function keysOf(shape: Shape, path: string): readonly string[] {
  return entriesOf(shape, path).map(([place]) => place.split('.').at(-1) ?? '')
}

/** Every key with its path; for a variant, the keys of its first option. */
function entriesOf(shape: Shape, path: string): readonly (readonly [string, Entry])[] {
  if (shape.kind === 'value') return []
  if (shape.kind === 'list') return entriesOf(shape.item, path)
  const [first] = shape.kind === 'variant' ? shape.options.values() : [shape.entries]
  return [...(first ?? [])].flatMap(([key, entry]) => [
    [`${path}.${key}`, entry] as const,
    ...entriesOf(entry.shape, `${path}.${key}`),
  ])
}
