import { equal, match, ok } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import { stringify } from 'yaml'

import { BridgeError } from '../../../src/errors.ts'
import { readManifests } from '../../../src/csi/class/class-manifest.ts'
import { isClass, parseClass, readClass } from '../../../src/csi/class/secret-provider-class.ts'
import { convertVaultManifests } from '../../../src/csi/migration/vault-manifest.ts'
import type { Fault } from '../../../src/yaml/fault.ts'
import { holds } from '../../property.ts'

const OBJECTS = [
  { path: 'a.pem', type: 'publicKey', key: 'app', format: 'jwk', version: 'latest', name: 'one' },
  { path: 'jwks/a.json', type: 'jwks', keys: ['app', 'other'], kid: 'thumbprint' },
  { path: 'cert', type: 'certificate', key: 'app', version: 3, mode: '0400', optional: true },
  { name: 'dek', type: 'dataKey', key: 'app', wrapped: 'vault:v1:QUJD', encoding: 'hex' },
  {
    path: 'password',
    type: 'decrypt',
    key: 'app',
    ciphertext: 'vault:v12:QUJDRA==',
    jsonPointer: '/a/0',
    context: 'QUJD',
    mount: 'team/transit',
    vaultNamespace: 'a/b',
  },
  { path: 'keys', type: 'exportedKey', key: 'app', version: 'all' },
  { path: 'info', type: 'keyInfo', key: 'app' },
  { path: 'all.pem', type: 'bundle', of: ['one'] },
  { path: 'conf', type: 'template', text: 'a={{ dek | hex }}\n$' },
]
const asYaml = (value: unknown) => stringify(value, { aliasDuplicateObjects: false })
const NAMES = [
  ...new Set(OBJECTS.flatMap((object) => Object.keys(object))),
  '__proto__',
  'constructor',
]
const WORDS =
  '- |: |{|}|[|]|,|"|\'|>|&a|*a|!|!!str|%|#|---\n|...|? |\\|\\x|~|.inf|1e999|0x1F|y|<<|__proto__|objects|type: jwks'
const BREAKS = ['|', '\n', '\n  ', '\t', '\r\n', '\0', '\u2028', '\ufeff', 'ü', '😀']
const TOKENS = [...WORDS.split('|'), ...BREAKS, ...NAMES.map((name) => `${name}: `)]
const soup = fc.string({ unit: fc.constantFrom(...TOKENS), maxLength: 40 })
const someObjects = fc.array(fc.constantFrom<object>(...OBJECTS), { minLength: 1, maxLength: 4 })
const tree = fc.array(
  fc.oneof(
    fc.constantFrom<object>(...OBJECTS),
    fc.dictionary(fc.constantFrom(...NAMES), fc.jsonValue(), { noNullPrototype: true }),
  ),
  { maxLength: 4 },
)
const written = fc
  .oneof(someObjects, tree)
  .chain((value) =>
    fc.constantFrom(asYaml(value), JSON.stringify(value), JSON.stringify(value, null, 1)),
  )
/** A class that someone wrote, with a part of it replaced. */
const changed = fc
  .tuple(written, fc.nat(), fc.nat({ max: 12 }), soup)
  .map(([text, place, length, other]) => {
    const at = place % (text.length + 1)
    return text.slice(0, at) + other.slice(0, 8) + text.slice(at + length)
  })
const objectsText = fc.oneof(written, changed, changed, soup, fc.string({ unit: 'binary' }))

/** Faults are sentences about a place in the text. */
function checkFaults(faults: readonly Fault[], text: string): void {
  const lines = text.split(/\r\n|[\n\r]/).length
  for (const { path, message, line } of faults) {
    ok(message.length > 5, message)
    ok(path !== '' || line !== undefined, 'a fault without a place')
    ok(
      line === undefined || (line >= 1 && line <= lines),
      `line ${String(line)} of ${String(lines)}`,
    )
    ok(!/\[object|undefined|NaN/.test(message.replaceAll(text, '')), message)
  }
}

holds(
  'any text of objects is a class, or has faults that name their places; nothing else is thrown',
  [objectsText],
  async (text) => {
    const parameters = { role: 'web', objects: text }
    const read = readClass(parameters)
    if (isClass(read)) {
      ok(read.objects.length > 0)
      equal((await parseClass(parameters)).digest, read.digest)
      return
    }
    ok(read.length > 0)
    checkFaults(read, text)
    const error: unknown = await parseClass(parameters).catch((thrown: unknown) => thrown)
    ok(error instanceof BridgeError && error.code === 'CLASS_INVALID')
    match(error.message, /objects/)
  },
  500,
)

holds(
  'any parameters of a class are accepted, or have faults that name the parameter',
  [
    fc.dictionary(
      fc.oneof(
        fc.constantFrom('role', 'objects', 'mount', 'vaultNamespace', '__proto__', 'roleName'),
        fc.string(),
      ),
      fc.jsonValue(),
      { noNullPrototype: true },
    ),
  ],
  (parameters) => {
    const read = readClass(JSON.parse(JSON.stringify(parameters)) as Record<string, unknown>)
    if (isClass(read)) return
    ok(read.length > 0)
    for (const { path } of read) ok(path !== '')
  },
  400,
)

holds(
  'valid objects are a class in YAML and in JSON, with the same content',
  [someObjects],
  (value) => {
    const texts = [asYaml(value), JSON.stringify(value), JSON.stringify(value, null, 2)]
    const read = texts.map((objects) => readClass({ role: 'web', objects }))
    const contents = read.map((each) =>
      JSON.stringify(
        isClass(each) ? each.objects : each.map(({ path, message }) => [path, message]),
      ),
    )
    equal(new Set(contents).size, 1)
  },
)

const manifest = objectsText.map((objects) =>
  stringify({
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name: 'app', namespace: 'shop' },
    spec: { provider: 'transit-bridge', parameters: { role: 'web', objects } },
  }),
)
const vaultManifest = fc
  .tuple(objectsText, fc.constantFrom('vault', 'openbao'))
  .map(([objects, provider]) =>
    stringify({
      apiVersion: 'secrets-store.csi.x-k8s.io/v1',
      kind: 'SecretProviderClass',
      metadata: { name: 'app' },
      spec: { provider, parameters: { roleName: 'web', vaultAddress: 'https://v', objects } },
    }),
  )
const file = fc
  .tuple(
    fc.oneof(manifest, vaultManifest),
    fc.nat(),
    fc.constantFrom(...TOKENS, ''),
    fc.nat({ max: 9 }),
  )
  .map(([text, place, other, length]) => {
    const at = place % (text.length + 1)
    return text.slice(0, at) + other + text.slice(at + length)
  })

holds(
  'any file of manifests is read and converted with faults that name a line of it; nothing is thrown',
  [fc.oneof(file, manifest, vaultManifest, soup)],
  (text) => {
    for (const { faults, line } of readManifests(text)) {
      checkFaults(faults, text)
      ok(line >= 1)
    }
    const converted = convertVaultManifests(text)
    checkFaults([...converted.faults, ...converted.notes], text)
    for (const { faults } of readManifests(converted.text))
      for (const { path } of faults) ok(path !== '', 'the conversion is not YAML')
  },
  400,
)

function countSteps(texts: readonly string[]): readonly number[] {
  const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...env } = process.env
  const output = execFileSync(process.execPath, [join(import.meta.dirname, 'count-steps.ts')], {
    input: JSON.stringify(texts),
    maxBuffer: 1 << 26,
    env,
  })
  return JSON.parse(output.toString()) as number[]
}

void test('reading a class takes a number of steps that is proportional to its length', (t) => {
  const families = fc.sample(
    fc.string({ unit: fc.constantFrom(...TOKENS), minLength: 1, maxLength: 5 }),
    { seed: 1, numRuns: 25 },
  )
  const texts = [...TOKENS, ...families].flatMap((token) =>
    [200, 800].map((count) => token.repeat(count)),
  )
  const steps = countSteps(texts)
  t.equal(steps.length, texts.length)
  for (let at = 0; at < steps.length; at += 2) {
    const [few = 0, many = 0] = steps.slice(at, at + 2)
    // Four times the text: sixteen times the steps if they were quadratic.
    ok(
      many < 8 * few + 5_000,
      `${JSON.stringify(texts[at]?.slice(0, 20))}: ${String(few)}, ${String(many)}`,
    )
  }
  t.end()
})

void test('unknown names are not compared with a name of 200,000 characters', (t) => {
  const name = 'x'.repeat(200_000)
  const unknown = Array.from({ length: 20 }, (_none, index) => `y${String(index)}`.padEnd(60, 'y'))
  const [steps = Infinity] = countSteps([
    JSON.stringify([
      { name, path: 'a', type: 'keyInfo', key: 'k' },
      { path: 'b', type: 'bundle', of: unknown },
    ]),
  ])
  // One for each character; each comparison takes twice as many.
  t.ok(steps < 2 * name.length, String(steps))
  t.end()
})
