import { test } from 'tap'

import { formatFault, formatPath } from '../../src/yaml/fault.ts'
import { change, faultsOf, findFaults, parse, VALID } from './valid-config.ts'

const lines = (text: string, environment = {}) =>
  faultsOf(text, environment).map((fault) => formatFault('f.yaml', fault))

void test('all faults are told at once, in the order of their lines', async (t) => {
  const text = VALID.replace('role: transit', 'rol: transit')
    .replace('2s', '2')
    .replace('level: info', 'level: inf')
    .replace('prod-eu-1', '"prod eu"')
  t.strictSame(lines(text), [
    'f.yaml:3: vault.timeout: is a number without a unit; write for example 2s',
    'f.yaml:6: vault.auth.rol: is not known; did you mean role',
    'f.yaml:14: kms.clusterId: is not a cluster id; use 1 to 128 printable ASCII characters without spaces',
    'f.yaml:33: log.level: is not known: "inf"; did you mean info',
  ])
})

void test('a fault between two values is told beside other faults of the section', async (t) => {
  const text = change('https://vault.example.com:8200', 'http://vault').replace(
    'timeout: 2s',
    'timeout: 2h',
  )
  t.strictSame(
    faultsOf(text).map(({ path, line }) => [path, line]),
    [
      ['vault.address', 2],
      ['vault.timeout', 3],
    ],
  )
})

void test('what is missing has the line of what it is missing from', async (t) => {
  t.strictSame(lines(change('  key: k8s-etcd\n', '')), [
    'f.yaml:8: transit.key: is missing; name of the Transit key that encrypts the cluster',
  ])
})

void test('an item of a list has its own line', async (t) => {
  const text = change('alsoDecryptClusters: []', 'alsoDecryptClusters:\n    - good\n    - not good')
  t.match(lines(text), ['f.yaml:21: kms.alsoDecryptClusters[1]: is not a cluster id'])
})

void test('an empty file says which sections are missing', async (t) => {
  for (const text of ['', '# nothing\n', '{}']) {
    t.strictSame(lines(text), [
      'f.yaml:1: vault: is missing; the address of Vault or OpenBao, and the login',
      'f.yaml:1: transit: is missing; the Transit engine and its key',
    ])
  }
})

void test('a file that is no mapping is one fault', async (t) => {
  t.strictSame(lines('- vault'), ['f.yaml:1: must be a mapping, not a list'])
  t.strictSame(lines('vault'), ['f.yaml:1: must be a mapping, not text'])
})

void test('a key that is given twice has line, column and path', async (t) => {
  t.strictSame(lines(change('key: k8s-etcd', 'key: a\n  key: b')), [
    'f.yaml:11:3: transit.key: is given twice; keep one',
  ])
})

void test('a syntax error has line and column, is told once, and never with the text around it', async (t) => {
  const broken = [
    'a: "hunter2',
    'a: hunter2: b',
    'a: [hunter2',
    '\ta: hunter2',
    'a: *hunter2',
    'a: !hunter2 x',
    '{a: ${hunter2}}',
    '@hunter2',
    'a: 1\n---\nb: hunter2',
  ]
  for (const text of broken) {
    const told = lines(text)
    t.equal(told.length, 1, text)
    t.match(told[0], /^f\.yaml:\d+:\d+: [a-z]/, text)
    t.notMatch(told[0], /hunter2/, text)
  }
})

void test('aliases that would grow without bound are refused', async (t) => {
  const levels = Array.from(
    { length: 12 },
    (_, n) => `a${n + 1}: &a${n + 1} [${Array(9).fill(`*a${n}`).join(', ')}]`,
  )
  t.match(lines(['a0: &a0 [x]', ...levels].join('\n')), [/too many aliases/])
})

void test('names that mean something to JavaScript are plain unknown keys', async (t) => {
  for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    t.match(
      findFaults(`${VALID}${key}: {polluted: true}\n`),
      [new RegExp(`^${key}: is not known`)],
      key,
    )
  }
  t.notOk('polluted' in {})
})

void test('no message holds what a wrong value was, where that could be a secret', async (t) => {
  const SECRET = 'hunter2 is/a secret/'
  const texts = VALID.match(/(?<=: )[^[{\n]+/g) ?? []
  const open = ['2s', '30s', '2m', 'info', 'jwt', '127.0.0.1:9390', '"0600"', '1024', 'false']
  for (const text of new Set(texts)) {
    if (open.includes(text)) continue
    for (const line of lines(change(`: ${text}`, `: "${SECRET}"`)))
      t.notMatch(line, /hunter2/, text)
  }
})

void test('no message holds what a variable held, whatever key it was for', async (t) => {
  const environment = { SECRET: 'hunter2 is/a secret/' }
  const texts = VALID.match(/(?<=: )[^[{\n]+/g) ?? []
  for (const text of new Set(texts)) {
    const told = lines(change(`: ${text}`, ': ${SECRET}'), environment)
    t.ok(told.length > 0, text)
    for (const line of told) t.notMatch(line, /hunter2/, text)
  }
})

void test('a variable is one value, whatever it holds', async (t) => {
  const text = change('clusterId: prod-eu-1', 'clusterId: ${A}-${B}')
  t.equal(parse(text, { A: 'x', B: 'y' }).kms?.clusterId, 'x-y')
  t.match(findFaults(text, { A: 'x', B: 'y\nsocket: /tmp/evil' }), [
    /^kms.clusterId: is not a cluster id/,
  ])
})

void test('a variable inside a variable is not replaced, and $${ stands for itself', async (t) => {
  const text = change('clusterId: prod-eu-1', 'clusterId: ${A}$${B}')
  t.equal(parse(text, { A: '${B}', B: 'never' }).kms?.clusterId, '${B}${B}')
})

void test('variables are not replaced in keys', async (t) => {
  t.match(findFaults(change('level: info', '${L}: info'), { L: 'level' }), [
    /^log\["\$\{L\}"\]: is not known/,
  ])
})

void test('an inherited name is no variable', async (t) => {
  t.match(findFaults(change('k8s-etcd', '${toString}'), {}), [/^transit.key: /])
})

void test('a path is written as a person would', async (t) => {
  t.equal(formatPath(['csi', 'rules', 0, 'a b']), 'csi.rules[0]["a b"]')
})
