// Every reader of a YAML or JSON text, with the shapes for which parsers take more than linear time. The times are in
// bench/yaml.ts; here each text is read or refused, and the output of a reader grows no faster than the text.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { isScalar, parseDocument } from 'yaml'
import { readLogFile } from '../../src/audit/log-file.ts'
import { parseConfig } from '../../src/config/load.ts'
import { parseBoundedJson } from '../../src/csi/bounded-json.ts'
import { readManifests } from '../../src/csi/class/class-manifest.ts'
import { readClass } from '../../src/csi/class/secret-provider-class.ts'
import { readManifest } from '../../src/doctor/api-server-manifest.ts'
import { checkEncryptionConfig } from '../../src/encryption/check.ts'
import { BridgeError } from '../../src/errors.ts'
import { readKubeconfig } from '../../src/kube/kubeconfig.ts'
import { parseSealed, takeSecrets } from '../../src/vault/client/secret-fields.ts'
import { withoutStacks } from '../../src/yaml/parser-errors.ts'
import { ancestorsOf, walk } from '../../src/yaml/walk.ts'
import { JSON_SHAPES, SHAPES } from './shapes.ts'

const [SMALL, LARGE] = [200, 2_000]
/** By how much the output may grow for a text with ten times the items. */
const GROWTH = 12
/** A short output need not be in proportion. */
const SHORT = 4_096

type Reader = (text: string, folder: string) => unknown

const YAML_READERS: Readonly<Record<string, Reader>> = {
  configuration: (text) => parseConfig('config.yaml', text, {}),
  EncryptionConfiguration: (text) => checkEncryptionConfig(text),
  kubeconfig: async (text, folder) => readKubeconfig(await save(folder, text)),
  'static pod': (text) => readManifest(text),
  class: (objects) => readClass({ role: 'web', objects }),
  'class manifest': (text) => readManifests(text).map(({ faults }) => faults),
}

const JSON_READERS: Readonly<Record<string, Reader>> = {
  'attributes and tokens': (text) => parseBoundedJson(text) !== undefined,
  'audit log': async (text, folder) => {
    const kinds: string[] = []
    for await (const lines of readLogFile(await save(folder, text)))
      kinds.push(...lines.map((line) => ('why' in line ? line.why : 'read')))
    return kinds
  },
  'answer with plaintexts': (text) => readAnswer(text, 'decrypt'),
  'answer with exported keys': (text) => readAnswer(text, 'export_key'),
}

async function save(folder: string, text: string): Promise<string> {
  const file = join(folder, 'file')
  await writeFile(file, text)
  return file
}

/** Only the parser's own error, which the client replaces. */
function readAnswer(text: string, operation: Parameters<typeof takeSecrets>[1]): string {
  try {
    parseSealed(takeSecrets(Buffer.from(text), operation))
    return 'read'
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof RangeError) return 'refused'
    throw thrown
  }
}

/** The output of a reader: its result, or its message if it refuses the text. */
async function say(read: Reader, text: string, folder: string): Promise<string> {
  try {
    return JSON.stringify(await read(text, folder)) ?? ''
  } catch (thrown) {
    if (thrown instanceof BridgeError) return thrown.message
    throw thrown
  }
}

for (const [shapes, readers] of [
  [SHAPES, YAML_READERS],
  [JSON_SHAPES, { ...JSON_READERS, ...YAML_READERS }],
] as const) {
  for (const [reader, read] of Object.entries(readers)) {
    const language = shapes === SHAPES ? 'YAML' : 'JSON'
    void test(`${reader}: every shape of ${language} is read or refused`, async (t) => {
      const folder = t.testdir()
      for (const [name, make] of Object.entries(shapes)) {
        const small = await say(read, make(SMALL), folder)
        const large = await say(read, make(LARGE), folder)
        const limit = Math.max(SHORT, GROWTH * small.length)
        t.ok(large.length <= limit, `${name}: ${String(small.length)}, ${String(large.length)}`)
      }
    })
  }
}

void test('a deep text is visited once per node, without copies of its ancestors', (t) => {
  for (const depth of [10, 1_000]) {
    const document = parseDocument('['.repeat(depth) + ']'.repeat(depth))
    const places = [...walk(document)]
    t.equal(places.length, depth)
    const [last] = places.slice(-1)
    t.equal(last && [...ancestorsOf(last)].length, depth - 1)
  }
  const places = [...walk(parseDocument('a: {b: [c]}\nd: e'))]
  const scalars = places.flatMap(({ node, isInFlow }) =>
    isScalar(node) ? [[node.value, isInFlow] as const] : [],
  )
  t.same(scalars, [
    ['a', false],
    ['b', true],
    ['c', true],
    ['d', false],
    ['e', false],
  ])
  t.end()
})

void test("a parser's errors record no stack, and other errors do", (t) => {
  const limit = Error.stackTraceLimit
  const { stack } = withoutStacks(() => new Error('x'))
  t.notMatch(stack, /\n\s+at /)
  t.throws(() =>
    withoutStacks(() => {
      throw new Error('x')
    }),
  )
  t.equal(Error.stackTraceLimit, limit)
  t.match(new Error('x').stack, /\n\s+at /)
  t.end()
})
