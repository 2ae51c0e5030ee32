// The commands in this process, against an API server in memory; test/e2e runs them with a real one.
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test, type Test } from 'tap'
import { stringify } from 'yaml'

import { readEncryptionFile } from '../../src/encryption/rules-file.ts'
import { main } from '../../src/main.ts'
import { FakeKubeServer } from '../fakes/kube-server.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { servePluginAdmin } from '../status/plugin-admin.ts'

/** All that was written: one read gives one piece. */
function drain(stream: PassThrough): string {
  let text = ''
  const read = () => stream.read() as Buffer | null
  for (let piece = read(); piece !== null; piece = read()) text += piece.toString('utf8')
  return text
}

async function fixture(t: Test) {
  const kube = await FakeKubeServer.start()
  t.teardown(() => kube.stop())
  for (const name of ['a', 'b', 'c']) kube.add(name)
  const folder = t.testdir()
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(
    kubeconfig,
    stringify({
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
      clusters: [
        {
          name: 'x',
          cluster: { server: kube.address, 'certificate-authority': kube.authority.caFile },
        },
      ],
      users: [{ name: 'x', user: { token: 'token' } }],
    }),
  )
  const run = async (...args: string[]) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const code = await main([...args, '--kubeconfig', kubeconfig], {
      stdout,
      stderr,
      environment: { HOME: folder },
    })
    return { code, stdout: drain(stdout), stderr: drain(stderr) }
  }
  return { kube, run, folder }
}

void test('rewrite: dry, done, and refused', async (t) => {
  const { kube, run, folder } = await fixture(t)
  const dry = await run('rewrite', '--resources', 'secrets', '--dry-run')
  t.match(dry, { code: 0, stdout: /secrets: 3 objects/, stderr: /has no endpoints, so only https/ })
  const done = await run('rewrite', '--resources', 'secrets', '--configs-may-differ')
  t.match(done, { code: 0, stdout: /^secrets: 3 rewritten/, stderr: /etcd was not read/ })
  const config = join(folder, 'encryption.yaml')
  const rule = { resources: ['secrets', 'gone.example.com'], providers: [{ identity: {} }] }
  writeFileSync(
    config,
    stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [rule],
    }),
  )
  t.match(await run('rewrite', '--encryption-config', config), {
    code: 1,
    stderr: /uses a different EncryptionConfiguration than the file in --encryption-config/,
  })
  kube.configHash = (await readEncryptionFile(config)).hash
  t.match(await run('rewrite', '--encryption-config', config), {
    code: 1,
    stderr: /gone\.example\.com was not rewritten: the API server does not serve it; etcd may hold/,
  })
  const accepted = ['--encryption-config', config, '--accept', 'gone.example.com']
  t.match(await run('rewrite', ...accepted), {
    code: 0,
    stderr: /gone\.example\.com is skipped/,
  })
  const unnamed = ['--encryption-config', config, '--resources', 'secrets,configmaps']
  t.match(await run('rewrite', ...unnamed), {
    code: 2,
    stderr: /no rule of \S+ covers configmaps, so API servers do not encrypt it/,
  })
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  spawn('sh', ['-c', `cat ${config} > ${pipe}`])
  t.match(await run('rewrite', ...accepted.with(1, pipe)), { code: 0 }, 'it is read only once')
  kube.health = 'vault is unavailable'
  t.match(await run('rewrite', '--resources', 'secrets', '--configs-may-differ'), {
    code: 1,
    stderr: /are unhealthy: vault is unavailable/,
  })
})

function kmsFirst(): string {
  const file = join(tempFolder('encryption'), 'kms-first.yaml')
  const kms = { apiVersion: 'v2', name: 'tb', endpoint: 'unix:///run/a.sock' }
  writeFileSync(
    file,
    stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [{ resources: ['secrets'], providers: [{ kms }] }],
    }),
  )
  return file
}

void test('status: a table, or JSON', async (t) => {
  const { kube, run } = await fixture(t)
  t.match(await run('status'), {
    code: 0,
    stdout: /api server +https.* \d s ago +ok\nno problems found/,
  })
  kube.metrics = ''
  const withoutKms = await run('status', '--encryption-config', kmsFirst())
  t.equal(withoutKms.code, 1)
  t.match(withoutKms.stdout, /problem: the API server .* uses no KMS v2 provider/)
  t.equal((await run('status')).code, 1, 'nothing shows that none is intended')
  const silent = await run('status', '--plugin', '127.0.0.1:1', '--json')
  t.equal(silent.code, 1)
  t.match(JSON.parse(silent.stdout), {
    ok: false,
    nodes: [{ kind: 'plugin' }, { kind: 'api server' }],
  })
})

void test('status: a fault of the sealed file of a plugin is a problem', async (t) => {
  const { run } = await fixture(t)
  const plugin = await servePluginAdmin(t, 'FILE cannot be written: the disk is full')
  t.match(await run('status', '--plugin', plugin), {
    code: 1,
    stdout: /problem: the plugin at .* its node may need Vault to start: FILE cannot be written/,
  })
})

void test('status: without Vault or etcd, it shows the rest, and what it could not read is a problem', async (t) => {
  const { run, folder } = await fixture(t)
  const config = join(folder, 'config.yaml')
  writeFileSync(
    config,
    stringify({
      vault: { address: 'http://127.0.0.1:1', auth: { method: 'token', tokenFile: '/token' } },
      transit: { key: 'k' },
      kms: { clusterId: 'c' },
    }),
  )
  writeFileSync(join(folder, 'token'), 'token')
  const vault = ['--config', config, '--token-file', join(folder, 'token')]
  const found = await run('status', ...vault, '--endpoints', 'http://127.0.0.1:1')
  t.match(found, { code: 1, stderr: /has no endpoints/ })
  t.match(found.stdout, /api server +https.* \d s ago +ok\n/)
  t.match(found.stdout, /problem: the key was not read: .*127\.0\.0\.1:1 is unreachable/)
  t.match(found.stdout, /problem: etcd was not read: etcd at .* refuses the connection/)
  const wrong = await run('status', '--config', config, '--token-file', join(folder, 'none'))
  const missing = { code: 2, stdout: '', stderr: /--token-file: .*none does not exist; write/ }
  t.match(wrong, missing, 'wrong usage shows nothing')
  // Its first bytes cannot be read (EIO).
  const unreadable = await run('status', '--config', config, '--token-file', '/proc/self/mem')
  const why = /--token-file: \/proc\/self\/mem .*the disk reports an error/
  t.match(unreadable, { code: 1, stdout: '', stderr: why }, 'nor does what this host cannot read')
})

void test('rotate: what stops it before it begins says what to do, and that nothing was changed', async (t) => {
  const { run, folder } = await fixture(t)
  const config = join(folder, 'config.yaml')
  writeFileSync(join(folder, 'token'), 'token')
  const rotate = ['rotate', '--config', config, '--token-file', join(folder, 'token'), '--plan']
  for (const [vault, message] of [
    [
      { address: 'https://127.0.0.1:1', caFile: '/nonexistent' },
      /vault\.caFile: \/nonexistent cannot be read \(ENOENT\); write the file, or correct the path; this run/,
    ],
    [{ address: 'http://127.0.0.1:1' }, /unreachable/],
  ] as const) {
    const auth = { method: 'token', tokenFile: '/token' }
    const kms = { clusterId: 'c' }
    writeFileSync(config, stringify({ vault: { ...vault, auth }, transit: { key: 'k' }, kms }))
    const { code, stderr } = await run(...rotate, '--resources', 'secrets')
    t.equal(code, 1)
    t.match(stderr, message)
    t.match(
      stderr,
      /; this run has changed nothing: resolve this, then run the same command again$/m,
    )
  }
})

void test('config check: a variable that is not set is an error, because the program would not start', async (t) => {
  const { folder } = await fixture(t)
  const config = join(folder, 'config.yaml')
  writeFileSync(config, 'transit: { key: "${TRANSIT_KEY}" }\n')
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const environment = { HOME: folder }
  t.equal(await main(['config', 'check', '--config', config], { stdout, stderr, environment }), 2)
  t.match(
    drain(stdout) + drain(stderr),
    /transit\.key: needs the environment variable TRANSIT_KEY, which is not set/,
  )
})

void test('each wrong option is reported in one line, before anything is asked', async (t) => {
  const { kube, run } = await fixture(t)
  // Its configuration is read last.
  const rotate = ['rotate', '--config', '/no-configuration', '--resources', 'secrets'] as const
  for (const [args, message] of [
    [['rewrite'], /needs --encryption-config FILE/],
    [['rewrite', '--resources', 'secret'], /did you mean secrets/],
    [
      ['rewrite', '--resources', 'secrets', '--method', 'x'],
      /rewrite: --method must be auto, patch or migration, not "x"/,
    ],
    [['rewrite', '--resources', 'secrets', '--rate', '0'], /--rate must be a whole number/],
    [['rewrite', '--resources', 'secrets', '--patience', '5'], /--patience must be a duration/],
    [
      ['rewrite', '--resources', 'secrets', '--api-server', 'http://x'],
      /--api-server: "http:\/\/x" is not an address/,
    ],
    [
      ['rewrite', '--resources', 'secrets', '--cert', 'x', '--endpoints', 'y'],
      /--cert and --key must be used together/,
    ],
    [[...rotate], /nothing would prove the result/],
    [
      [...rotate, '--plan', '--only-cluster', '--other-cluster', '/none'],
      /--only-cluster and --other-cluster cannot be used together/,
    ],
    [
      [...rotate, '--plan', '--yes-raise-min-decryption-version', '2'],
      /--yes-raise-min-decryption-version needs the etcd options/,
    ],
    [
      [...rotate, '--endpoints', 'http://y', '--yes-raise-min-decryption-version', '2'],
      /--yes-raise-min-decryption-version: other clusters may use this key/,
    ],
    [[...rotate, '--plan', '--backup', '/none'], /\/none: cannot be read: there is no such file/],
    [['status', '--plugin', 'x/y'], /--plugin: "x\/y" is not an address/],
    [['status', '--rotate-every', 'x'], /--rotate-every must be a duration/],
  ] as const) {
    const { code, stdout, stderr } = await run(...args)
    t.equal(code, 2, stderr)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.equal(stderr.trim().split('\n').length, 1)
  }
  t.same(kube.calls, [])
})

void test('audit: files of Vault and of plugins, every use, and entries that are not a use', async (t) => {
  const folder = t.testdir({
    'audit.log': [
      JSON.stringify({
        type: 'response',
        time: 't1',
        auth: { display_name: 'root' },
        request: { id: '1', path: 'transit/decrypt/k', operation: 'update', remote_address: '::1' },
      }),
      '{"half": ',
    ].join('\n'),
    'node.log': 'x {"uid":"u","method":"Decrypt","code":"OK"}\n',
    'none.log': 'nothing\n',
  })
  const ask = async (...args: string[]) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const code = await main(['audit', ...args], { stdout, stderr, environment: {} })
    return { code, stdout: drain(stdout), stderr: drain(stderr) }
  }
  const files = [join(folder, 'audit.log'), join(folder, 'node.log')]
  t.match(await ask(...files, '--events'), {
    code: 1,
    stdout: /t1 decrypt .*\n.*\nsuspicious: t1 decrypt transit\/k by root/,
  })
  t.match(await ask(...files, '--key', 'other'), { code: 2, stderr: /entries about k\n/ })
  t.match(await ask(...files, '--json'), { code: 1, stdout: /"ok":false/ })
  t.match(await ask(join(folder, 'none.log')), {
    code: 2,
    stderr: /no line is an entry/,
  })
  t.match(await ask(folder), { code: 2, stderr: /is not a regular file/ })
})
