import { test } from 'tap'
import {
  encodeAssociatedData,
  makeAnnotations,
  makeLocalAnnotations,
  readAnnotations,
  type Annotations,
} from '../../src/seed/annotations.ts'

const VERSION = 'version.transit-bridge.internal'
const LOCAL_KEY = 'local-key.transit-bridge.internal'
const CLUSTER = 'cluster.transit-bridge.internal'
const bytes = (text: string) => Buffer.from(text)
const valid: Annotations = { [VERSION]: bytes('1'), [CLUSTER]: bytes('prod-eu-1') }

void test('annotations contain the format version and the cluster, and nothing else', (t) => {
  t.same(makeAnnotations('prod-eu-1'), valid)
  t.same(readAnnotations(makeAnnotations('кластер')), { clusterId: 'кластер' })
  t.end()
})

/** kube-apiserver: validation.IsFullyQualifiedDomainName, and 32 KiB for all (kmsv2/envelope.go). */
void test('their names are lower-case domain names, and they are small', (t) => {
  const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
  let size = 0
  for (const [name, value] of Object.entries(makeAnnotations('c'.repeat(253)))) {
    const labels = name.split('.')
    t.ok(labels.length >= 2 && name.length <= 253, name)
    for (const each of labels) t.match(each, label)
    size += name.length + value.byteLength
  }
  t.ok(size <= 32 * 1024, `${size} bytes`)
  t.end()
})

void test('those of a local key contain it, in the form of Transit', (t) => {
  const local = makeLocalAnnotations('prod-eu-1', 'vault:v3:AAAA')
  t.same(local, {
    [VERSION]: bytes('2'),
    [CLUSTER]: bytes('prod-eu-1'),
    [LOCAL_KEY]: bytes('vault:v3:AAAA'),
  })
  t.same(readAnnotations(local), { clusterId: 'prod-eu-1', wrappedKey: bytes('vault:v3:AAAA') })
  t.end()
})

const without = (name: string): Annotations =>
  Object.fromEntries(Object.entries(valid).filter(([each]) => each !== name))

const DEFECTS: readonly (readonly [string, Annotations, RegExp])[] = [
  ['no annotations', {}, /another plugin/],
  ['no version', without(VERSION), /another plugin/],
  ['no cluster', without(CLUSTER), /another plugin/],
  ['one more', { ...valid, 'extra.transit-bridge.internal': bytes('') }, /another plugin/],
  ['the api of KMS v1', { ...valid, 'api.transit-bridge.internal': bytes('v1beta1') }, /another/],
  ['a name in capitals', { ...without(VERSION), [VERSION.toUpperCase()]: bytes('1') }, /another/],
  ['a trailing dot', { ...without(CLUSTER), [`${CLUSTER}.`]: bytes('prod-eu-1') }, /another/],
  ['format version 2 without a local key', { ...valid, [VERSION]: bytes('2') }, /another plugin/],
  ['format version 1 with a local key', { ...valid, [LOCAL_KEY]: bytes('x') }, /another plugin/],
  [
    'format version 2 and one more',
    { ...valid, [VERSION]: bytes('2'), [LOCAL_KEY]: bytes('x'), 'a.b': bytes('') },
    /another plugin/,
  ],
  ['format version 3', { ...valid, [VERSION]: bytes('3') }, /newer transit-bridge/],
  ['an empty format version', { ...valid, [VERSION]: bytes('') }, /newer transit-bridge/],
  ['format version 1 and a zero byte', { ...valid, [VERSION]: bytes('1\0') }, /newer/],
  ['format version 10', { ...valid, [VERSION]: bytes('10') }, /newer/],
]

for (const [what, annotations, words] of DEFECTS) {
  void test(`annotations with ${what} are ANNOTATIONS_INVALID`, (t) => {
    t.throws(() => readAnnotations(annotations), { code: 'ANNOTATIONS_INVALID', message: words })
    t.end()
  })
}

/** Computed by another program: domain, then name and value in the order of the names. */
const GOLDEN_AAD =
  '0000001d7472616e7369742d6272696467652f616e6e6f746174696f6e732f7631' +
  '0000001f636c75737465722e7472616e7369742d6272696467652e696e7465726e616c' +
  '0000000970726f642d65752d31' +
  '0000001f76657273696f6e2e7472616e7369742d6272696467652e696e7465726e616c' +
  '0000000131'

void test('the AAD of annotations never changes and does not depend on their order', (t) => {
  t.equal(encodeAssociatedData(valid).toString('hex'), GOLDEN_AAD)
  const reversed = Object.fromEntries(Object.entries(valid).toReversed())
  t.equal(encodeAssociatedData(reversed).toString('hex'), GOLDEN_AAD)
  t.end()
})

void test('the AAD differs when any byte of an annotation does', (t) => {
  const others: Annotations[] = [
    { ...valid, [CLUSTER]: bytes('prod-eu-2') },
    { ...valid, [CLUSTER]: bytes('prod-eu-1 ') },
    { ...valid, [VERSION]: bytes('2') },
    { ...valid, [VERSION]: valid[CLUSTER] ?? bytes(''), [CLUSTER]: bytes('1') },
    { ...valid, 'a.b': bytes('') },
  ]
  for (const other of others) t.not(encodeAssociatedData(other).toString('hex'), GOLDEN_AAD)
  t.end()
})

void test('bytes that are not UTF-8 match no cluster of a configuration', (t) => {
  const { clusterId } = readAnnotations({ ...valid, [CLUSTER]: Buffer.from([0x70, 0xff]) })
  t.match(clusterId, /\ufffd/)
  t.end()
})
