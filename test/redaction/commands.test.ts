// Every command, with secrets in everything that it reads and servers that repeat what they are sent: no secret appears in its
// output or in a file that is not documented to contain it.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateIdentity } from 'age-encryption'
import { after, end, test } from 'tap'

import { loadAll } from '../../src/commands/cli/command-table.ts'
import { COMMANDS } from '../../src/commands/table.ts'
import { rememberSecret } from '../real/program/told-secrets.ts'
import { runMainIn } from '../verify/run-verify.ts'
import { startKubeMirror, startVaultMirror } from './mirror.ts'
import { filesWithSecrets, newKey, newSecret, TestFolders } from './test-folders.ts'

const folders = new TestFolders()
const [vault, kube] = await Promise.all([startVaultMirror(), startKubeMirror()])
after(() => {
  vault.close()
  kube.close()
})

const CIPHERTEXT = `vault:v1:${newSecret(60)}`
const operator = newSecret()
const jwt = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from('{"sub":"x","aud":"vault","exp":9999999999}').toString('base64url')}.${newSecret(60)}`
const files = {
  jwt: folders.write('token', jwt),
  text: folders.write('text', `${newSecret()} ${newSecret()}\n${newSecret()}`),
  key: folders.write('key', newKey()),
  json: folders.write('json', `{"value": "${newSecret()}" "more": ${newSecret()}}`),
  snapshot: folders.write('snapshot', Buffer.concat([newKey(), newKey(), newKey()])),
  identity: folders.write('identity', remembered(await generateIdentity())),
  brokenIdentity: folders.write('broken', remembered((await generateIdentity()).slice(0, -2))),
}
const kubeconfig = folders.kubeconfig(kube.address, kube.caFile)
/** Texts of which parsers of YAML like to show a part. */
const brokenYaml = [
  `users: [{user: {token: "${newSecret()}}}]`,
  `token: *${newSecret()}`,
  `${newSecret()}: {${newSecret()}: [`,
  `token: ${newSecret()}\n  ${newSecret()}: x\n\t- y`,
  `apiVersion: v1\nkind: Config\nusers: ${newSecret()}\ncurrent-context: [${newSecret()}]`,
].map((text, index) => folders.write(`broken-${String(index)}.yaml`, text))

function remembered(secret: string): string {
  rememberSecret(secret)
  return secret
}

const auths = {
  jwt: { method: 'jwt', role: 'r', tokenFile: files.jwt },
  'not-a-jwt': { method: 'jwt', role: 'r', tokenFile: files.text },
  approle: { method: 'approle', roleIdFile: files.text, secretIdFile: files.jwt },
  token: { method: 'token', tokenFile: folders.write('vault-token', newSecret()) },
}

const configs = Object.entries(auths).map(([name, auth]) =>
  folders.write(`config-${name}.yaml`, {
    vault: { address: vault.address, auth, timeout: '1s' },
    transit: { key: 'k8s-etcd' },
    kms: {
      clusterId: 'test',
      socket: folders.out('kms.sock'),
      localKeys: { enabled: true, sealedFile: folders.out('sealed'), nodeKeyFile: files.key },
    },
    admin: { listen: '127.0.0.1:1', drill: { tokenFile: files.text } },
    log: { level: 'trace' },
  }),
)
const [config = ''] = configs
/** As the installer on a node reads it; the paths are those of the host. */
const hostConfig = folders.write('host.yaml', {
  vault: {
    address: 'https://vault.example',
    caFile: '/etc/tb/ca.pem',
    auth: { method: 'jwt', role: 'r', tokenFile: '/etc/tb/token' },
  },
  transit: { key: 'k8s-etcd' },
  kms: { clusterId: 'test', socket: '/etc/tb/kms.sock' },
})
mkdirSync(folders.out('etc/tb'), { recursive: true })
const csiConfig = folders.write('csi.yaml', {
  vault: { address: vault.address },
  csi: { audience: 'vault', socket: folders.out('csi.sock'), rules: [] },
  log: { level: 'trace' },
})
/** Secrets where they do not belong. */
const misplaced = [
  `vault: {address: "https://user:${newSecret()}@127.0.0.1:1", auth: {method: token, tokenFile: /x}}`,
  `vault: {address: "https://127.0.0.1/?token=${newSecret()}", auth: {method: token, token: ${newSecret()}}}`,
].map((text, index) => folders.write(`misplaced-${String(index)}.yaml`, text))
const drillToken = folders.write('drill', newSecret())
const manifest = folders.write('class.yaml', {
  apiVersion: 'secrets-store.csi.x-k8s.io/v1',
  kind: 'SecretProviderClass',
  metadata: { name: 'x' },
  spec: {
    provider: 'transit-bridge',
    parameters: {
      role: 'web',
      objects: JSON.stringify([
        { path: 'a', type: 'decrypt', key: 'k', ciphertext: CIPHERTEXT },
        { path: 'b', type: 'decrypt', key: 'k', ciphertext: `vault:x:${newSecret()}` },
        { path: 'c', type: 'decrypt', key: 'k', ciphertext: CIPHERTEXT, context: newSecret() },
      ]),
    },
  },
})
const encryption = folders.write('encryption.yaml', {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'EncryptionConfiguration',
  resources: [
    {
      resources: ['secrets', 'secrets'],
      providers: [
        { aescbc: { keys: [{ name: 'k', secret: newSecret() }] } },
        { secretbox: { keys: [{ name: 'k', secret: newKey().toString('base64') }] } },
        { identity: {} },
      ],
    },
  ],
})
const auditFile = folders.write(
  'audit.log',
  [
    `{"type":"response","auth":{"client_token":"${newSecret()}"},"request":{"path":"transit/decrypt/k"`,
    newSecret(),
    JSON.stringify({
      type: 'response',
      time: '2026-01-01T00:00:00Z',
      auth: { client_token: newSecret(), display_name: 'x' },
      request: {
        id: '1',
        operation: 'update',
        path: 'transit/decrypt/k8s-etcd',
        data: { ciphertext: CIPHERTEXT },
        client_token: newSecret(),
      },
      response: { data: { plaintext: newKey().toString('base64') } },
    }),
  ].join('\n'),
)
const kubeOptions = ['--kubeconfig', kubeconfig, '--api-server', kube.address]
const etcdOptions = [
  '--endpoints',
  kube.address,
  '--cacert',
  kube.caFile,
  '--user',
  'root',
  '--password-file',
  files.text,
]
const HIGH_RISK = '--i-know-this-can-stop-the-api-server'
const brokenKubeconfigs = brokenYaml.map((file) => ['--kubeconfig', file])
const reviewer = ['--reviewer-token-file', files.jwt]
const outputs = ['text', 'hcl', 'commands', 'json']

/** Runs of each command; `shownBy` names the test of a server. */
type Row = { readonly runs: readonly (readonly string[])[] } | { readonly shownBy: string }

const rows: Readonly<Record<string, Row>> = {
  kms: { shownBy: 'test/redaction/servers.test.ts' },
  csi: { shownBy: 'test/redaction/servers.test.ts' },
  forward: { shownBy: 'test/redaction/servers.test.ts' },
  'csi check': {
    runs: [
      [manifest],
      [manifest, '--json', '--config', csiConfig],
      ['--from', 'vault', manifest],
      ...brokenYaml.map((file) => [file]),
      [files.jwt],
    ],
  },
  'config check': {
    runs: [...configs, ...misplaced, ...brokenYaml, files.jwt].flatMap((file) => [
      ['--config', file],
      ['--json', '--config', file],
    ]),
  },
  'config schema': { runs: [[]] },
  'config encryption': {
    runs: [
      ['--config', config],
      ['--check', encryption],
      ['--check', encryption, '--json', '--kubeconfig', kubeconfig],
      ...brokenYaml.map((file) => ['--check', file]),
    ],
  },
  'config node': {
    runs: ['static-pod', 'systemd', 'k3s', 'rke2', 'daemonset'].map((shape) => [
      '--shape',
      shape,
      '--config',
      config,
      '--host-config',
      '/etc/transit-bridge/config.yaml',
    ]),
  },
  setup: {
    runs: [
      ...outputs.map((output) => [
        '--config',
        config,
        '--dry-run',
        '--output',
        output,
        ...reviewer,
      ]),
      ['--config', config, '--yes', '--kubeconfig', kubeconfig],
      ['--config', config, '--yes', '--token-file', files.text],
      ['--config', config, '--remove', '--yes'],
      ['--helm-manifest', encryption, '--dry-run'],
      ...brokenKubeconfigs.map((broken) => ['--config', config, '--dry-run', ...broken]),
    ],
  },
  'setup node-key': { runs: [['--root', folders.inputs, '--with-key', 'host', '--yes']] },
  doctor: {
    runs: [
      ...configs.map((file) => ['--config', file, '--encryption-config', encryption]),
      ['--config', csiConfig, '--pod-token', files.jwt, '--json'],
    ],
  },
  'install-node': {
    runs: [files.jwt, files.text].map((token) => [
      '--config',
      hostConfig,
      '--image',
      'i:1',
      '--token',
      token,
      '--ca',
      vault.caFile,
      '--root',
      folders.outputs,
      '--host-config',
      '/etc/tb/config.yaml',
      '--manifests',
      '/etc/tb',
      '--once',
    ]),
  },
  'retire-nodes': { runs: [['--daemonset', 'kube-system/x', '--timeout', '1s']] },
  'round-trip': { runs: [['--socket', folders.out('none.sock')]] },
  probe: { runs: [['--socket', folders.out('none.sock')]] },
  verify: {
    runs: [
      ['--snapshot', files.snapshot],
      ['--snapshot', files.snapshot, '--skip-hash-check', '--deep', '--config', config],
      [...etcdOptions, '--encryption-config', encryption],
      ...configs.map((file) => [...etcdOptions, '--deep', '--objects', '--config', file]),
    ],
  },
  rewrite: {
    runs: [
      ['--encryption-config', encryption, '--patience', '1s', ...kubeOptions],
      ['--resources', 'secrets', '--patience', '1s', ...kubeOptions, ...etcdOptions],
      ...brokenKubeconfigs.map((broken) => ['--resources', 'secrets', ...broken]),
    ],
  },
  rotate: {
    runs: [
      ['--config', config, '--resources', 'secrets', '--patience', '1s', ...kubeOptions],
      ['--config', config, '--encryption-config', encryption, '--plan', ...kubeOptions],
      ...brokenKubeconfigs.map((broken) => [
        '--config',
        config,
        '--resources',
        'secrets',
        ...broken,
      ]),
    ],
  },
  status: {
    runs: [
      ...configs.map((file) => ['--config', file, ...kubeOptions, ...etcdOptions]),
      ['--json', ...kubeOptions],
      ...brokenKubeconfigs,
    ],
  },
  audit: { runs: [[auditFile], [auditFile, '--events', '--json'], [files.text], [files.snapshot]] },
  'drill backup': {
    runs: [[files.snapshot, '--config', config, '--skip-hash-check', '--json']],
  },
  'drill outage': {
    runs: [
      ['--plugin', vault.address, '--drill-token', drillToken, HIGH_RISK, ...kubeOptions],
      ['--plugin', vault.address, '--drill-token', files.text, HIGH_RISK, '--json', ...kubeOptions],
    ],
  },
  'drill restore': {
    runs: [
      [files.snapshot, '--config', config, '--skip-hash-check', '--plugin', vault.address],
      [files.snapshot, '--config', config, ...etcdOptions, '--json'],
    ],
  },
  'escrow create': {
    runs: [
      ['--split', '2/3', '--snapshot', files.snapshot],
      ['--split', '2/3', '--snapshot', files.snapshot, '--skip-hash-check', '--include-seeds'],
      ['--recipient', remembered(`age1${newSecret()}`), ...etcdOptions],
    ].map((how) => ['--config', config, '--out', folders.out('escrow'), ...how]),
  },
  'escrow check': {
    runs: [files.json, files.text].map((file) => ['--escrow', file, '--snapshot', files.snapshot]),
  },
  'escrow open': {
    runs: [files.json, files.text, files.key].flatMap((file) =>
      [
        ['--share', file, '--share', files.text],
        ['--identity', files.identity],
        ['--identity', files.brokenIdentity, '--json'],
      ].map((how) => [
        '--escrow',
        file,
        '--snapshot',
        files.snapshot,
        '--out',
        folders.out('open'),
        '--yes',
        ...how,
      ]),
    ),
  },
  completion: { runs: [['bash'], ['zsh'], ['fish']] },
}

const names = (await loadAll(COMMANDS)).map(({ name }) => name)

void test('every command has a row, and every row is a command', (t) => {
  t.strictSame(Object.keys(rows).toSorted(), names.toSorted())
  t.end()
})

for (const [name, row] of Object.entries(rows)) {
  void test(`${name} prints no secret`, async (t) => {
    if ('shownBy' in row) {
      t.match(readFileSync(join(import.meta.dirname, '../..', row.shownBy), 'utf8'), `'${name} `)
      return
    }
    const env = { VAULT_TOKEN: operator, HOME: folders.outputs }
    for (const run of row.runs) {
      // It throws if the output contains a secret, in raw, hex, base64 or base64url.
      const { code, stdout, stderr } = await runMainIn(env, ...name.split(' '), ...run)
      t.ok([0, 1, 2].includes(code), run.join(' '))
      t.ok(stdout + stderr !== '', 'it says something')
    }
  })
}

void test('commands put a secret only into the files that are documented to contain it', (t) => {
  t.strictSame(filesWithSecrets(folders.outputs), ['etc/tb/token'])
  t.ok(readdirSync(folders.out('etc/tb')).length > 2, 'the installer wrote more')
  t.end()
})

end()
