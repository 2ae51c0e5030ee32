import { test } from 'tap'

import { checkEncryptionConfig } from '../../src/encryption/check.ts'
import { GOOD, REFUSED, TAKEN, UNSAFE, type FaultyConfig } from './faulty-configs.ts'

function shown(text: string, severity: string): readonly string[] {
  return checkEncryptionConfig(text)
    .filter((fault) => fault.severity === severity)
    .map(({ line = 0, path, message, hint = '' }) => `${line}: ${path} ${message}; ${hint}`)
}

function checkRows(severity: 'refused' | 'unsafe', rows: readonly FaultyConfig[]): void {
  for (const [what, text, line, words] of rows) {
    void test(`${what} is ${severity}, with its line`, async (t) => {
      const found = shown(text, severity)
      const told = found.some((one) => one.startsWith(`${line}: `) && one.includes(words))
      t.ok(told, `line ${line}, ${words}: ${found.join(' | ')}`)
    })
  }
}

checkRows('refused', REFUSED)
checkRows('unsafe', UNSAFE)

for (const [what, text] of TAKEN) {
  void test(`nothing is wrong with ${what}`, async (t) => {
    t.strictSame([...shown(text, 'refused'), ...shown(text, 'unsafe')], [])
  })
}

void test('a remaining identity provider is a note, not a problem', async (t) => {
  const [fault, ...others] = checkEncryptionConfig(GOOD)
  t.match(fault, { severity: 'note', path: 'resources[0].providers[1]', line: 12 })
  t.strictSame(others, [])
})

void test('all faults are reported at once, in their order', async (t) => {
  const text = GOOD.replace('- secrets', '- Secrets')
    .replace('timeout: 3s', 'cachesize: 5')
    .replace('unix:', 'tcp:')
  t.strictSame(
    checkEncryptionConfig(text)
      .filter(({ severity }) => severity === 'refused')
      .map(({ line }) => line),
    [5, 10, 11],
  )
})

void test('the socket of the plugin must be among the endpoints', async (t) => {
  const ours = { socket: '/run/transit-bridge/kms.sock' }
  t.strictSame(checkEncryptionConfig(GOOD, ours), checkEncryptionConfig(GOOD))
  t.match(checkEncryptionConfig(GOOD, { socket: '/run/other.sock' })[0], {
    severity: 'unsafe',
    message: 'no provider uses the socket of the plugin, /run/other.sock',
  })
})

void test('secrets that another provider writes are unsafe, even if the plugin is in another rule', async (t) => {
  const key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
  const secretbox = `secretbox: {keys: [{name: a, secret: ${key}}]}`
  const text = `${GOOD.replace('- secrets', '- configmaps')}  - resources: [secrets]\n    providers:\n      - ${secretbox}\n`
  t.match(
    checkEncryptionConfig(text, { socket: '/run/transit-bridge/kms.sock' }).filter(
      ({ severity }) => severity === 'unsafe',
    ),
    [{ message: /writes secrets, and no provider of this rule uses the socket/, line: 15 }],
  )
  t.strictSame(
    checkEncryptionConfig(text).filter(({ severity }) => severity === 'unsafe'),
    [],
  )
})

void test('a provider that only reads with the plugin is a note', async (t) => {
  const text = GOOD.replace(
    '      - kms:',
    '      - kms: {apiVersion: v2, name: old, endpoint: "unix:///run/old.sock"}\n      - kms:',
  )
  t.match(checkEncryptionConfig(text, { socket: '/run/transit-bridge/kms.sock' }), [
    { severity: 'note', message: /still writes with another/, line: 6 },
    { severity: 'note', line: 13 },
  ])
})

void test('the old kind, and a custom resource, are notes', async (t) => {
  const notes = (text: string) => shown(text, 'note').join('\n')
  const old = GOOD.replace('EncryptionConfiguration', 'EncryptionConfig').replace(
    'apiserver.config.k8s.io/v1',
    'v1',
  )
  t.match(notes(old), /2: kind is the old name/)
  const custom = GOOD.replace('- secrets', '- secrets\n      - widgets.example.com')
  t.match(
    notes(custom),
    /6: resources\[0\]\.resources\[1\] .* compare it with kubectl api-resources/,
  )
  t.end()
})

void test('a key name with a colon is taken, and noted', async (t) => {
  const secret = Buffer.alloc(32).toString('base64')
  const text = GOOD.replace('identity: {}', `aesgcm: {keys: [{name: "a:b", secret: ${secret}}]}`)
  t.strictSame(shown(text, 'refused'), [])
  t.match(shown(text, 'note').join('\n'), /keys\[0\]\.name contains a colon, so verify takes/)
  t.end()
})

void test('no message holds a key', async (t) => {
  const secret = 'c2VjcmV0LXRoYXQtaXMtdG9vLWxvbmctZm9yLWFlcy0yNTYtYnktZmFy'
  const text = GOOD.replace('identity: {}', `aescbc: {keys: [{name: a, secret: ${secret}}]}`)
  t.notMatch(JSON.stringify(checkEncryptionConfig(text)), secret)
})
