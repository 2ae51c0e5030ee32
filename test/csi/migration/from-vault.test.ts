// From a class of the Vault CSI provider to files in a volume. Its fields are those of version 1.7.
import { after, end, test } from 'tap'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { readManifests } from '../../../src/csi/class/class-manifest.ts'
import { convertVaultManifests } from '../../../src/csi/migration/vault-manifest.ts'
import { obtain } from '../../real/host/parts.ts'
import { csiCheckCommand } from '../../../src/commands/csi/check.ts'
import { execute, type TypedOptions } from '../../commands/execute.ts'
import { memoryTerminal } from '../../commands/memory-terminal.ts'
import { DocumentText, OperatorShell } from '../document.ts'
import { startFixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'
import { PodVault, newPod } from '../pod-vault.ts'

const DOCUMENT = new DocumentText('operations/csi-from-vault.md')
const vault = await PodVault.start()
const fixture = await startFixture(vault)
const shell = await OperatorShell.open(vault.bao)
symlinkSync(await obtain('bao'), join(shell.folder, 'vault'))
after(async () => {
  await fixture.stop()
  await vault.stop()
})
await vault.makeKey('app-data')
await vault.bao.api('POST', 'sys/mounts/secret', { type: 'kv', options: { version: '2' } })
// A new engine refuses requests while it becomes one of version 2.
await eventually('the KV engine', () => vault.bao.api('GET', 'secret/config'))

type Fields = Record<string, unknown>

/** A class of the Vault provider. JSON is YAML. */
function classOf(objects: readonly Fields[] | string, parameters: Fields = {}): string {
  const text = typeof objects === 'string' ? objects : JSON.stringify(objects)
  return JSON.stringify({
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name: 'web' },
    spec: { provider: 'vault', parameters: { roleName: 'web', objects: text, ...parameters } },
  })
}

/** The objects of the converted class, and what was reported. */
function convert(objects: readonly Fields[] | string, parameters: Fields = {}) {
  const { text, faults, notes } = convertVaultManifests(classOf(objects, parameters))
  const { spec } = parse(text) as { spec: { parameters: Record<string, string> } }
  return {
    parameters: spec.parameters,
    objects: (parse(spec.parameters['objects'] ?? '') ?? []) as Fields[],
    faults: faults.map(({ path, message }) => `${path} ${message}`),
    hints: faults.map(({ hint }) => hint),
    notes: notes.map(({ path, message }) => `${path} ${message}`),
  }
}

async function mountObjects(objects: string) {
  const attributes = await vault.attributes(newPod(), objects)
  return (await fixture.driver.mount({ attributes })).files
}

void test('the class in the document is converted, and mounts what the Vault provider mounts', async (t) => {
  await vault.bao.api('POST', 'secret/data/app/db', { data: { password: 'hunter2' } })
  const ciphertext = await vault.encrypt('app-data', 'a token')
  const old = DOCUMENT.block('example: vault class').replace('vault:v1:REPLACE', ciphertext)
  const { text, classes, faults, notes } = convertVaultManifests(old)
  t.equal(classes, 1)
  t.match(
    faults.map(({ path, line }) => [path, line]),
    [['objects[1].secretPath', 21]],
  )
  t.equal(old.split('\n')[20]?.trim(), 'secretPath: secret/data/app/db')
  t.match(notes, [{ path: 'vaultAddress', line: 10 }])
  t.match(
    readManifests(text),
    [{ faults: [{ message: /is not a Transit ciphertext/ }] }],
    'what is missing is reported until it is filled in',
  )

  // The command of the message, with the key's name in its place.
  const [, advised = ''] = /: (vault kv get .*)$/.exec(faults[0]?.hint ?? '') ?? []
  const documented = DOCUMENT.block('commands: kv')
  t.equal(advised.replace('/KEY', '/app-data'), documented.trim())
  const made = shell.run(documented.replaceAll('vault ', 'bao ')).trim()
  const filled = text.replaceAll('key":"REPLACE', 'key":"app-data').replace('vault:REPLACE', made)
  t.match(readManifests(filled), [{ name: 'web', namespace: 'shop', faults: [] }])
  const { spec } = parse(filled) as { spec: { parameters: Record<string, string> } }
  t.equal(spec.parameters['role'], 'web')
  const files = await mountObjects(spec.parameters['objects'] ?? '')
  t.equal(String(files.get('api-token')?.contents), 'a token')
  t.equal(files.get('api-token')?.mode, 0o400)
  t.equal(String(files.get('db-password')?.contents), 'hunter2')
  t.equal(files.get('db-password')?.mode, 0o644)
})

void test('a decrypt keeps its context, associated data, mount, and its base64', async (t) => {
  const { objects, faults } = convert([
    {
      objectName: 'a',
      secretPath: '/v1/team/transit/decrypt/app?n=2',
      secretKey: 'plaintext',
      method: 'POST',
      secretArgs: { ciphertext: 'vault:v1:AAAA', context: 'Yw==', associated_data: 'YQ==' },
    },
  ])
  t.strictSame(faults, [])
  t.strictSame(objects, [
    {
      path: 'a',
      type: 'decrypt',
      key: 'app',
      mount: 'team/transit',
      ciphertext: 'vault:v1:AAAA',
      context: 'Yw==',
      associatedData: 'YQ==',
      encoding: 'base64',
      mode: '0644',
    },
  ])
})

const DECRYPT = {
  objectName: 'a',
  secretPath: 'transit/decrypt/app',
  secretKey: 'plaintext',
  secretArgs: { ciphertext: 'vault:v1:AAAA' },
}
const KV = { objectName: 'a', secretPath: 'secret/data/app', secretKey: 'x' }
const KV_FAULT =
  'objects[0].secretPath is a value of the KV engine, which this provider does not read'

for (const [name, change, expected] of [
  ['raw', { encoding: 'base64' }, { encoding: undefined }],
  ['base64', { encoding: 'utf-8' }, { encoding: 'base64' }],
] as const) {
  void test(`encoding ${change.encoding} of a decrypt becomes ${name}`, (t) => {
    const { objects, faults } = convert([{ ...DECRYPT, ...change }])
    t.strictSame(faults, [])
    t.equal(objects[0]?.['encoding'], expected.encoding)
    t.end()
  })
}

for (const encoding of ['base64', 'hex']) {
  void test(`encoding ${encoding} of a KV value becomes decode`, (t) => {
    const { objects, faults } = convert([{ ...KV, encoding }])
    t.strictSame(faults, [KV_FAULT])
    t.match(objects, [{ type: 'decrypt', decode: encoding, ciphertext: 'vault:REPLACE' }])
    t.end()
  })
}

for (const [written, mode] of [
  ['0600', '0600'],
  ['"0440"', '0440'],
  ['0o444', '0444'],
  ['384', '0600'],
  ['292', '0444'],
] as const) {
  void test(`filePermission ${written} becomes mode ${mode}`, (t) => {
    const list = `- objectName: a
  secretPath: transit/decrypt/app
  secretKey: plaintext
  secretArgs: {ciphertext: "vault:v1:AAAA"}
  filePermission: ${written}
`
    const { objects, faults } = convert(list)
    t.strictSame(faults, [])
    t.equal(objects[0]?.['mode'], mode)
    t.end()
  })
}

void test('objects on one line keep their own permissions', (t) => {
  const object = (name: string, more: string) =>
    `{objectName: ${name}, secretPath: transit/decrypt/app, secretKey: plaintext, secretArgs: {ciphertext: "vault:v1:AAAA"}${more}}`
  const written = [
    '',
    ', filePermission: 0444',
    ', filePermission: 0400',
    ', "filePermission": 256',
  ]
  const list = written.map((more, index) => object(`o${String(index)}`, more)).join(',')
  const { objects, faults } = convert(`[${list}]`)
  t.strictSame(faults, [])
  t.strictSame(
    objects.map(({ mode }) => mode),
    ['0644', '0444', '0400', '0400'],
  )
  t.end()
})

void test('the version of an exported key is kept', (t) => {
  const { objects } = convert([
    { objectName: 'a', secretPath: 'transit/export/signing-key/app/3' },
    { objectName: 'b', secretPath: 'transit/export/signing-key/app' },
  ])
  t.strictSame(
    objects.map(({ version }) => version),
    ['3', undefined],
  )
  t.end()
})

for (const name of ['constructor', 'toString', '__proto__', 'valueOf']) {
  void test(`a parameter and a field ${name} have no counterpart`, (t) => {
    const { faults, notes } = convert(`- {${JSON.stringify(DECRYPT).slice(1, -1)}, ${name}: 1}`, {
      ...(JSON.parse(`{"${name}":"x"}`) as Fields),
    })
    t.strictSame(notes, [])
    const expected = [name, `objects[0].${name}`].map((path) => `${path} has no counterpart`)
    t.strictSame(faults.toSorted(), expected.toSorted())
    t.end()
  })
}

void test('the command of a message contains nothing that a shell interprets', (t) => {
  for (const [secretPath, secretKey] of [
    ['secret/data/app; touch made', 'x'],
    ['secret/data/app', '$(touch made)'],
    ["se'cret/data/a'; touch made; '", '`touch made`'],
    ['secret/data/-address=http://evil.example', 'my password'],
  ] as const) {
    const { hints } = convert([{ objectName: 'a', secretPath, secretKey }])
    const [, command = ''] = /: vault (kv get .*) \| base64 /.exec(hints[0] ?? '') ?? []
    const words = shell.run(`printf '%s\\n' ${command}; test ! -e made`).split('\n').slice(0, -1)
    const [, mount = '', name = ''] = /^([^/]+)\/data\/(.*)$/.exec(secretPath) ?? []
    const dashes = name.startsWith('-') ? ['--'] : []
    t.strictSame(words, ['kv', 'get', `-mount=${mount}`, `-field=${secretKey}`, ...dashes, name])
  }
  t.end()
})

const WITHOUT_COUNTERPART: readonly (readonly [string, Fields, string, string | undefined])[] = [
  [
    'a write-only mode',
    { ...DECRYPT, filePermission: '0200' },
    'objects[0].filePermission is not',
    'decrypt',
  ],
  [
    'a hex plaintext',
    { ...DECRYPT, encoding: 'hex' },
    'objects[0].encoding does not fit',
    'decrypt',
  ],
  [
    'the JSON of a decrypt',
    { ...DECRYPT, secretKey: undefined },
    'objects[0].secretKey is not plaintext',
    'decrypt',
  ],
  [
    'another argument',
    { ...DECRYPT, secretArgs: { ciphertext: 'vault:v1:AAAA', nonce: 'x' } },
    'objects[0].secretArgs has nonce',
    'decrypt',
  ],
  [
    'a decrypt without ciphertext',
    { ...DECRYPT, secretArgs: {} },
    'objects[0].secretArgs has no ciphertext',
    'decrypt',
  ],
  [
    'associated data that is a number',
    { ...DECRYPT, secretArgs: { ciphertext: 'vault:v1:AAAA', associated_data: 5 } },
    'objects[0].secretArgs has associated_data with a value that is not text',
    'decrypt',
  ],
  ['an unknown field', { ...DECRYPT, ttl: '1h' }, 'objects[0].ttl has no counterpart', 'decrypt'],
  [
    'a path upwards',
    { ...DECRYPT, objectName: '../a' },
    'objects[0].objectName contains ..',
    'decrypt',
  ],
  ['a value of KV', KV, KV_FAULT, 'decrypt'],
  ['a value of KV version 1', { ...KV, secretPath: 'secret/app' }, KV_FAULT, 'decrypt'],
  [
    'the JSON of a key',
    { objectName: 'a', secretPath: 'transit/keys/app' },
    'objects[0].secretPath mounts the JSON of keys',
    'keyInfo',
  ],
  [
    'an exported key',
    { objectName: 'a', secretPath: 'transit/export/encryption-key/app/1' },
    'objects[0].secretPath mounts the JSON of export',
    'exportedKey',
  ],
  [
    'a new data key',
    { objectName: 'a', secretPath: 'transit/datakey/plaintext/app' },
    'objects[0].secretPath mounts the JSON of datakey',
    'dataKey',
  ],
  [
    'a signature',
    { objectName: 'a', secretPath: 'transit/sign/app' },
    'objects[0].secretPath mounts the JSON of an operation',
    undefined,
  ],
  [
    'a database login',
    { objectName: 'a', secretPath: 'database/creds/app' },
    'objects[0].secretPath is not a Transit path',
    undefined,
  ],
  [
    'an object without a path',
    { objectName: 'a' },
    'objects[0] needs the texts objectName and secretPath',
    undefined,
  ],
]

for (const [name, object, expected, type] of WITHOUT_COUNTERPART) {
  void test(`${name} is named by field`, (t) => {
    const { objects, faults } = convert([object])
    t.equal(faults.length, 1)
    t.equal(faults[0]?.slice(0, expected.length), expected)
    t.equal(objects[0]?.['type'], type)
    t.end()
  })
}

void test('the advice for a value reads what the Vault provider reads', (t) => {
  const advice = (object: Fields) => convert([{ objectName: 'a', ...object }]).hints[0]
  t.match(
    advice({ secretPath: 'secret/data/app?version=2', secretKey: 5 }),
    /: vault kv get -mount=secret -version=2 -field=5 app \| base64/,
  )
  t.match(
    advice({ secretPath: 'team/kv/app', secretKey: 'password' }),
    /if this is a value of the KV engine, .*: vault read -field=password team\/kv\/app \| base64 -w0 \| vault write/,
  )
  t.end()
})

void test('metadata that the API server wrote is not copied', (t) => {
  const { metadata } = parse(
    convertVaultManifests(
      JSON.stringify({
        apiVersion: 'secrets-store.csi.x-k8s.io/v1',
        kind: 'SecretProviderClass',
        metadata: {
          name: 'web',
          namespace: 'shop',
          labels: { app: 'web' },
          annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', team: 'a' },
          uid: 'x',
          resourceVersion: '5',
          managedFields: [],
        },
        spec: { provider: 'vault', parameters: { roleName: 'web', objects: '[]' } },
      }),
    ).text,
  ) as { metadata: unknown }
  t.strictSame(metadata, {
    name: 'web',
    namespace: 'shop',
    labels: { app: 'web' },
    annotations: { team: 'a' },
  })
  t.end()
})

void test('a template of Helm is named as such', (t) => {
  const { faults } = convertVaultManifests('kind: A\nspec: {{ .Values.spec }}\n')
  t.match(faults, [{ line: 2, message: /Helm template/, hint: /helm template/ }])
  t.end()
})

void test('parameters of the connection are notes, and those without a counterpart are faults', (t) => {
  const { parameters, faults, notes } = convert([DECRYPT], {
    vaultAddress: 'https://vault:8200',
    vaultCACertPath: '/ca.pem',
    vaultKubernetesMountPath: 'kubernetes',
    audience: 'vault',
    vaultNamespace: '/team-a/',
    vaultSkipTLSVerify: 'true',
    awsRegion: 'x',
  })
  t.equal(parameters['role'], 'web')
  t.equal(parameters['vaultNamespace'], 'team-a')
  t.strictSame(Object.keys(parameters), ['role', 'vaultNamespace', 'objects'])
  t.strictSame(faults, [
    'vaultSkipTLSVerify has no counterpart: certificates are always verified',
    'awsRegion has no counterpart',
  ])
  t.strictSame(notes, [
    'vaultAddress is vault.address of the configuration',
    'vaultCACertPath is vault.caFile of the configuration',
    'vaultKubernetesMountPath is csi.auth.mount of the configuration',
    'audience is csi.audience of the configuration',
    'vaultNamespace needs a rule in csi.rules with this vaultNamespace',
  ])
  t.end()
})

void test('a class without a role or with objects that are not a list is reported', (t) => {
  t.strictSame(convert([DECRYPT], { roleName: undefined }).faults, ['roleName is missing'])
  t.strictSame(convert('a: b').faults, ['objects must be a list, not a mapping'])
  t.strictSame(convert([], { objects: undefined }).faults, ['objects is missing'])
  const list = convert([], { objects: [DECRYPT] })
  t.strictSame(list.faults, ['objects must be text, not a list'])
  t.strictSame(list.hints, ['write "objects: |" and indent the list'])
  t.match(convert('[').faults, [/^objects /])
  t.strictSame(convert([DECRYPT], { roleName: 'a b' }).faults, [
    'roleName is not a valid Vault name',
  ])
  t.end()
})

void test('a text that would be another value in YAML 1.1 is printed in quotes', async (t) => {
  const old = classOf([DECRYPT], { roleName: 'yes' }).replace('"web"', '"on"')
  const { text, faults } = convertVaultManifests(old)
  t.same(faults, [])
  t.match(text, /name: "on"/)
  t.match(readManifests(text), [{ name: 'on', read: { role: 'yes' }, faults: [] }])
})

void test('other documents are skipped, lists are read, and text that is not YAML is reported', (t) => {
  const own = classOf([DECRYPT]).replace('"provider":"vault"', '"provider":"transit-bridge"')
  t.match(convertVaultManifests(`${own}\n---\nkind: ConfigMap\n`), {
    text: '',
    classes: 0,
    faults: [],
  })
  const list = `{kind: List, items: [${classOf([DECRYPT])}, ${classOf([KV])}]}`
  t.match(convertVaultManifests(list), { classes: 2, faults: [{ path: 'objects[0].secretPath' }] })
  t.match(convertVaultManifests(`${classOf([DECRYPT])}\n---\n[`), {
    classes: 1,
    faults: [{ line: Number }],
  })
  t.end()
})

void test('the command prints the class on standard output, and remarks on standard error', async (t) => {
  const dir = t.testdir({
    'right.yaml': classOf([DECRYPT], { audience: 'vault' }),
    'kv.yaml': classOf([DECRYPT, KV]),
    'none.yaml': 'kind: ConfigMap\n',
  })
  const check = async (file: string, more: TypedOptions = {}) => {
    const [output, remarks] = [memoryTerminal(), memoryTerminal()]
    const terminal = { ...output, stderr: remarks.stderr }
    const options = { from: 'vault', ...more }
    const code = await execute(csiCheckCommand, options, terminal, [join(dir, file)])
    return { code, stdout: output.text(), stderr: remarks.text() }
  }
  t.match(await check('right.yaml'), {
    code: 0,
    stdout: /provider: transit-bridge/,
    stderr: /^transit-bridge: note: .*right\.yaml:1: audience: is csi\.audience/,
  })
  t.match(await check('kv.yaml'), {
    code: 1,
    stdout: /vault:REPLACE/,
    stderr: /objects\[1\]\.secretPath: is a value of the KV engine.*\n.*has a field without/,
  })
  t.match(await check('none.yaml'), { code: 1, stdout: '', stderr: /contains no Secret/ })
  await t.rejects(check('gone.yaml'), { message: /cannot read .*gone\.yaml \(ENOENT\)/ })
  await t.rejects(check('right.yaml', { json: true }), { message: /cannot be used with other/ })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
