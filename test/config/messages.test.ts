import { test } from 'tap'

import { formatFault, formatPath } from '../../src/yaml/fault.ts'
import { change, faultsOf, findFaults, parse, VALID } from './valid-config.ts'

const lines = (text: string, environment = {}) =>
  faultsOf(text, environment).map((fault) => formatFault('f.yaml', fault))

void test('all faults are reported at once, in the order of their lines', async (t) => {
  const text = VALID.replace('role: transit', 'rol: transit')
    .replace('2s', '2')
    .replace('level: info', 'level: inf')
    .replace('prod-eu-1', '"prod eu"')
  t.strictSame(lines(text), [
    'f.yaml:3: vault.timeout: is a number without a unit; add one, such as 2s',
    'f.yaml:6: vault.auth.rol: is not a known key; did you mean role?',
    'f.yaml:14: kms.clusterId: is not a valid cluster id; use 1 to 128 printable ASCII characters without spaces',
    'f.yaml:43: log.level: "inf" is not supported; did you mean info?',
  ])
})

void test('a fault between two values is reported with other faults of the section', async (t) => {
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

void test('a missing key has the line of its parent', async (t) => {
  t.strictSame(lines(change('  key: k8s-etcd\n', '')), [
    'f.yaml:8: transit.key: is missing; name of the Transit key that encrypts the cluster',
  ])
})

void test('an item of a list has its own line', async (t) => {
  const text = change('alsoDecryptClusters: []', 'alsoDecryptClusters:\n    - good\n    - not good')
  t.match(lines(text), ['f.yaml:22: kms.alsoDecryptClusters[1]: is not a valid cluster id'])
})

void test('for an empty file, the missing sections are reported', async (t) => {
  for (const text of ['', '# nothing\n', '{}']) {
    t.strictSame(lines(text), [
      'f.yaml:1: vault: is missing; the address of Vault or OpenBao, and the login',
      'f.yaml:1: transit: is missing; the Transit engine and its key',
    ])
  }
})

void test('a file that is not a mapping is one fault', async (t) => {
  t.strictSame(lines('- vault'), ['f.yaml:1: must be a mapping, not a list'])
  t.strictSame(lines('vault'), ['f.yaml:1: must be a mapping, not text'])
})

void test('a duplicate key has line, column and path', async (t) => {
  t.strictSame(lines(change('key: k8s-etcd', 'key: a\n  key: b')), [
    'f.yaml:11:3: transit.key: is set twice; remove one',
  ])
})

void test('a syntax error is reported once, with line and column and without the text around it', async (t) => {
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
    const found = lines(text)
    t.equal(found.length, 1, text)
    t.match(found[0], /^f\.yaml:\d+:\d+: [a-z]/, text)
    t.notMatch(found[0], /hunter2/, text)
  }
})

void test('aliases that expand without limit are rejected', async (t) => {
  const levels = Array.from(
    { length: 12 },
    (_, n) => `a${n + 1}: &a${n + 1} [${Array(9).fill(`*a${n}`).join(', ')}]`,
  )
  t.match(lines(['a0: &a0 [x]', ...levels].join('\n')), [/too many aliases/])
})

void test('names with a meaning in JavaScript are ordinary unknown keys', async (t) => {
  for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    t.match(
      findFaults(`${VALID}${key}: {polluted: true}\n`),
      [new RegExp(`^${key}: is not a known key`)],
      key,
    )
  }
  t.notOk('polluted' in {})
})

void test('no message contains a wrong value that could be a secret', async (t) => {
  const SECRET = 'hunter2 is/a secret/'
  const texts = VALID.match(/(?<=: )[^[{\n]+/g) ?? []
  const harmless = ['2s', '30s', '2m', 'info', 'jwt', '127.0.0.1:9390', '"0600"', '1024', 'false']
  for (const text of new Set(texts)) {
    if (harmless.includes(text)) continue
    for (const line of lines(change(`: ${text}`, `: "${SECRET}"`)))
      t.notMatch(line, /hunter2/, text)
  }
})

void test('no message contains the content of a variable, for any key', async (t) => {
  const environment = { SECRET: 'hunter2 is/a secret/' }
  const texts = VALID.match(/(?<=: )[^[{\n]+/g) ?? []
  for (const text of new Set(texts)) {
    const found = lines(change(`: ${text}`, ': ${SECRET}'), environment)
    t.ok(found.length > 0, text)
    for (const line of found) t.notMatch(line, /hunter2/, text)
  }
})

void test('a variable is one value, no matter what it contains', async (t) => {
  const text = change('clusterId: prod-eu-1', 'clusterId: ${A}-${B}')
  t.equal(parse(text, { A: 'x', B: 'y' }).kms?.clusterId, 'x-y')
  t.match(findFaults(text, { A: 'x', B: 'y\nsocket: /tmp/evil' }), [
    /^kms.clusterId: is not a valid cluster id/,
  ])
})

void test('a variable inside a variable is not replaced, and $${ is a literal ${', async (t) => {
  const text = change('clusterId: prod-eu-1', 'clusterId: ${A}$${B}')
  t.equal(parse(text, { A: '${B}', B: 'never' }).kms?.clusterId, '${B}${B}')
})

void test('variables are not replaced in keys', async (t) => {
  t.match(findFaults(change('level: info', '${L}: info'), { L: 'level' }), [
    /^log\["\$\{L\}"\]: is not a known key/,
  ])
})

void test('an inherited property is not a variable', async (t) => {
  t.match(findFaults(change('k8s-etcd', '${toString}'), {}), [/^transit.key: /])
})

void test('a path is formatted as a person writes it', async (t) => {
  t.equal(formatPath(['csi', 'rules', 0, 'a b']), 'csi.rules[0]["a b"]')
})
