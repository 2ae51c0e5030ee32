import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { VALID } from '../config/valid-config.ts'
import { buildProgram, PROGRAM, ROOT, run } from './program.ts'

buildProgram()

const RIGHT = `apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: web
  namespace: shop
spec:
  provider: transit-bridge
  parameters:
    role: web
    objects: |
      - {path: keys/signing.pem, type: publicKey, key: app-signing}
      - {path: jwks.json, type: jwks, key: app-signing}
  secretObjects:
    - secretName: web
      type: Opaque
      data: [{objectName: keys/signing.pem, key: pem}]
`
const OTHERS = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: x}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: of-vault}
spec: {provider: vault, parameters: {roleName: x}}
---
`
const WRONG = RIGHT.replace(
  'key: app-signing}\n      - {path: j',
  'ky: app-signing}\n      - {path: /j',
)
  .replace('objectName: keys/signing.pem', 'objectName: keys/signing.pam')
  .replace('role: web', 'role: web\n    vaultAddress: https://evil')
  .replace('name: web', 'name: wrong')

const CONFIG = VALID.includes('csi:') ? VALID : `${VALID}csi: {audience: vault, rules: []}\n`

void test('a valid manifest is ok except for the rules, which were not checked', async (t) => {
  const dir = t.testdir({ 'a.yaml': `${OTHERS}${RIGHT}` })
  const file = join(dir, 'a.yaml')
  t.strictSame(await run(['csi', 'check', file]), {
    code: 0,
    stdout: `${file}: ok; csi.rules were not checked, add --config FILE\n  web: role web, 2 objects\n`,
    stderr: '',
  })
})

void test('all faults are reported with their lines in the file', async (t) => {
  const dir = t.testdir({ 'a.yaml': `${OTHERS}${WRONG}` })
  const file = join(dir, 'a.yaml')
  const { code, stdout, stderr } = await run(['csi', 'check', file])
  t.equal(code, 1)
  const told = stdout.trimEnd().split('\n')
  t.match(
    told,
    [
      `${file}:20: vaultAddress: is not a known field; addresses, TLS`,
      `${file}:22: objects[0].ky: is not a known field; did you mean key?`,
      `${file}:22: objects[0].key: is missing`,
      `${file}:23: objects[1].path: is absolute`,
    ].map((line) => new RegExp(line.replaceAll(/[[\].]/g, '\\$&'))),
  )
  t.equal(told.length, 4)
  t.equal(stderr, `transit-bridge: ${file} has 4 errors\n`)
})

void test('the items of a list are checked, with their lines', async (t) => {
  const list = `apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}
  - apiVersion: secrets-store.csi.x-k8s.io/v1
    kind: SecretProviderClass
    metadata: {name: web, namespace: shop}
    spec:
      provider: transit-bridge
      parameters:
        role: web
        objects: |
          - {path: keys/signing.pem, type: publicKey, key: app-signing}
          - {path: ../escape, type: publicKey, key: app-signing}
`
  const dir = t.testdir({ 'list.yaml': list })
  const { code, stdout } = await run(['csi', 'check', join(dir, 'list.yaml')])
  t.equal(code, 1)
  t.match(stdout, /list\.yaml:14: objects\[1\]\.path: contains \.\./)
})

void test('a class without a provider is a fault', async (t) => {
  const dir = t.testdir({ 'a.yaml': RIGHT.replace('  provider: transit-bridge\n', '') })
  const { code, stdout } = await run(['csi', 'check', join(dir, 'a.yaml')])
  t.equal(code, 1)
  t.match(stdout, /a\.yaml:6: spec\.provider: is missing; set it to transit-bridge/)
})

void test('a secretObjects entry whose file no object creates is reported', async (t) => {
  const text = RIGHT.replace('objectName: keys/signing.pem', 'objectName: keys/signing.pam')
  const dir = t.testdir({ 'a.yaml': text })
  const { code, stdout } = await run(['csi', 'check', join(dir, 'a.yaml')])
  t.equal(code, 1)
  t.match(
    stdout,
    /a\.yaml:16: secretObjects\[0\]\.data\[0\]\.objectName: is not the path of an object; did you mean keys\/signing\.pem/,
  )
})

void test('--json prints one object with classes and faults', async (t) => {
  const dir = t.testdir({ 'right.yaml': RIGHT, 'wrong.yaml': WRONG })
  const right = await run(['csi', 'check', join(dir, 'right.yaml'), '--json'])
  t.match(JSON.parse(right.stdout), {
    ok: true,
    rulesChecked: false,
    classes: [{ name: 'web', namespace: 'shop', role: 'web', objects: 2 }],
    faults: [],
  })
  const rule =
    '{namespaces: [shop], serviceAccounts: ["*"], roles: ["*"], keys: ["*"], types: [publicKey, jwks]}'
  const config = join(dir, 'config.yaml')
  writeFileSync(
    config,
    `vault: {address: https://vault}\ncsi: {audience: vault, rules: [${rule}]}\n`,
  )
  const file = join(dir, 'right.yaml')
  const checked = await run(['csi', 'check', file, '--json', '--config', config])
  t.match(JSON.parse(checked.stdout), { ok: true, rulesChecked: true })
  const wrong = await run(['csi', 'check', '--json', join(dir, 'wrong.yaml')])
  t.equal(wrong.code, 1)
  t.match(JSON.parse(wrong.stdout), { ok: false, classes: [], faults: [{ path: 'vaultAddress' }] })
})

void test('with a configuration it says what the rules do not allow, for whom', async (t) => {
  const anywhere = RIGHT.replace('  namespace: shop\n', '')
  const dir = t.testdir({ 'a.yaml': anywhere, 'config.yaml': CONFIG })
  const file = join(dir, 'a.yaml')
  const options = ['--config', join(dir, 'config.yaml'), '--namespace', 'bank']
  const { code, stdout } = await run(['csi', 'check', file, ...options])
  t.equal(code, 1)
  t.match(stdout, /csi\.rules: no rule matches namespace "bank" \(namespaces\)/)
})

void test('a configuration of the provider alone guards a key only where it names one', async (t) => {
  const rule =
    '{namespaces: ["*"], serviceAccounts: ["*"], roles: ["*"], keys: ["*"], types: [publicKey, jwks]}'
  const alone = `vault: {address: https://vault}\ncsi: {audience: vault, rules: [${rule}]}\n`
  const dir = t.testdir({
    'a.yaml': RIGHT,
    'alone.yaml': alone,
    'guards.yaml': `${alone}transit: {key: app-signing}\n`,
  })
  const check = (config: string) =>
    run(['csi', 'check', join(dir, 'a.yaml'), '--config', join(dir, config)])
  t.match(await check('alone.yaml'), { code: 0, stdout: /a\.yaml: ok\n/, stderr: '' })
  t.match(await check('guards.yaml'), {
    code: 1,
    stdout:
      /lists key "app-signing" by its exact name \(keys\), which the key of the KMS plugin requires/,
  })
})

void test('a class is not checked for pods of a namespace that cannot use it', async (t) => {
  const dir = t.testdir({ 'a.yaml': RIGHT, 'config.yaml': CONFIG })
  const config = ['--config', join(dir, 'config.yaml')]
  const other = await run(['csi', 'check', join(dir, 'a.yaml'), ...config, '--namespace', 'bank'])
  t.match(other, {
    code: 1,
    stdout: /metadata\.namespace: is "shop", so pods in "bank" cannot use the class; correct it/,
  })
})

void test('a manifest can come from standard input', async (t) => {
  const child = spawn(PROGRAM, ['csi', 'check', '-'], { cwd: ROOT })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stdin.end(RIGHT)
  const code = await new Promise((resolve) => child.on('close', resolve))
  t.equal(code, 0)
  t.equal(
    stdout,
    'standard input: ok; csi.rules were not checked, add --config FILE\n  web: role web, 2 objects\n',
  )
})

void test('a class that names an engine is checked with the rules for that engine', async (t) => {
  const rule = 'namespaces: [shop], serviceAccounts: ["*"], roles: [web], keys: ["*"]'
  const dir = t.testdir({
    'a.yaml': RIGHT.replace('role: web', 'role: web\n    vaultNamespace: team-a/'),
    'config.yaml': CONFIG.replace(
      '  rules:\n',
      `  rules:\n    - {vaultNamespace: team-a, ${rule}, types: [publicKey]}\n`,
    ),
  })
  const file = join(dir, 'a.yaml')
  const checked = await run(['csi', 'check', file, '--config', join(dir, 'config.yaml')])
  t.equal(checked.code, 1)
  t.equal(checked.stdout.trim().split('\n').length, 1)
  t.match(
    checked.stdout,
    /objects\[1\] \(jwks\.json\): no rule for shop\/default with this role and this engine and key "app-signing" allows type jwks \(types\)/,
  )
})

void test('--from vault prints a class of this provider, and reports on standard error', async (t) => {
  const old = (objects: string) =>
    RIGHT.replace('provider: transit-bridge', 'provider: vault')
      .replace('role: web', 'roleName: web\n    vaultAddress: https://vault:8200')
      .replace(/ {6}- [^]* {2}secretObjects/, () => `${objects}  secretObjects`)
  const decrypt =
    '{objectName: keys/signing.pem, secretPath: transit/decrypt/app, secretKey: plaintext, secretArgs: {ciphertext: "vault:v1:AAAA"}}'
  const kv = '{objectName: b, secretPath: secret/data/b, secretKey: c}'
  const dir = t.testdir({
    'right.yaml': old(`      - ${decrypt}\n`),
    'kv.yaml': old(`      - ${decrypt}\n      - ${kv}\n`),
    'none.yaml': RIGHT,
  })
  const right = await run(['csi', 'check', '--from', 'vault', join(dir, 'right.yaml')])
  t.equal(right.code, 0)
  t.match(
    right.stderr,
    /^transit-bridge: note: .*right\.yaml:\d+: vaultAddress: is vault\.address of the configuration\n$/,
  )
  const converted = join(dir, 'new.yaml')
  writeFileSync(converted, right.stdout)
  t.match(await run(['csi', 'check', converted]), { code: 0, stdout: /web: role web, 1 object/ })
  const draft = await run(['csi', 'check', '--from', 'vault', join(dir, 'kv.yaml')])
  t.match(draft, { code: 1, stdout: /vault:REPLACE/ })
  t.match(draft.stderr, /kv\.yaml:\d+: objects\[1\]\.secretPath: is a value of the KV engine/)
  t.match(draft.stderr, /kv\.yaml has a field without a counterpart\n$/)
  const none = await run(['csi', 'check', '--from', 'vault', join(dir, 'none.yaml')])
  t.match(none, {
    code: 1,
    stdout: '',
    stderr: /contains no SecretProviderClass of provider vault/,
  })
  const both = await run(['csi', 'check', '--from', 'vault', '--json', join(dir, 'right.yaml')])
  t.match(both, { code: 2, stderr: /--from vault cannot be used with other options/ })
})

void test('--from vault does not say that a class is ready if this provider refuses its values', async (t) => {
  const objects =
    '{objectName: a, secretPath: transit/decrypt/app, secretKey: plaintext, encoding: base64, secretArgs: {ciphertext: v, context: "%"}}'
  const old = RIGHT.replace('provider: transit-bridge', 'provider: vault')
    .replace('role: web', 'roleName: web\n    vaultNamespace: team a')
    .replace(/ {6}- [^]* {2}secretObjects/, `      - ${objects}\n  secretObjects`)
  const dir = t.testdir({ 'old.yaml': old })
  const { code, stdout, stderr } = await run([
    'csi',
    'check',
    '--from',
    'vault',
    join(dir, 'old.yaml'),
  ])
  t.equal(code, 1)
  t.match(stdout, /provider: transit-bridge/)
  for (const message of [
    /output:\d+: vaultNamespace: is not a valid namespace/,
    /output:\d+: objects\[0\]\.ciphertext: is not a Transit ciphertext/,
    /output:\d+: objects\[0\]\.context: is not base64/,
    /the printed class is not valid\n$/,
  ])
    t.match(stderr, message)
})

const MISTAKES: readonly (readonly [string, string])[] = [
  ['csi check', 'csi check: needs FILE; see csi check --help'],
  ['csi check a b', 'csi check: unexpected argument "b"'],
  [
    'csi check a --namespace x',
    'csi check: --namespace needs the csi.rules of a configuration; add --config FILE',
  ],
  ['csi check /nonexistent', 'csi check: cannot read /nonexistent (ENOENT)'],
  ['csi', 'csi: needs --config FILE; see csi --help'],
  ['csi chek x', 'csi "chek" is not a command; did you mean csi check?'],
]

for (const [commandLine, message] of MISTAKES) {
  void test(`"transit-bridge ${commandLine}" reports what is wrong`, async (t) => {
    t.strictSame(await run(commandLine.split(' ')), {
      code: 2,
      stdout: '',
      stderr: `transit-bridge: ${message}\n`,
    })
  })
}

void test('a file without a class of ours is a fault', async (t) => {
  const dir = t.testdir({ 'a.yaml': OTHERS })
  const { code, stdout } = await run(['csi', 'check', join(dir, 'a.yaml')])
  t.equal(code, 1)
  t.match(
    stdout,
    /contains no SecretProviderClass of provider transit-bridge; .* --from vault converts/,
  )
})
