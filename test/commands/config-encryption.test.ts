import { join } from 'node:path'
import { test, type Test } from 'tap'
import { parse } from 'yaml'

import { checkEncryptionConfig } from '../../src/encryption/check.ts'
import { VALID } from '../config/valid-config.ts'
import { GOOD } from '../encryption/faulty-configs.ts'
import { runHere } from '../setup/fixture.ts'

interface Provider {
  readonly kms?: { readonly name: string; readonly endpoint: string; readonly timeout: string }
}

/** Runs `config encryption`; `config.yaml` in it is the valid configuration. */
async function run(t: Test, ...args: readonly string[]) {
  const folder = t.testdir({ 'config.yaml': VALID, 'good.yaml': GOOD })
  return runHere(['config', 'encryption', ...args.map((word) => word.replace('@', `${folder}/`))])
}

/** Names of the providers that are printed, in their order. */
async function providers(t: Test, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(t, '--config', '@config.yaml', ...args)
  const { resources } = parse(stdout) as { resources: { providers: Provider[] }[] }
  const names = (resources[0]?.providers ?? []).map((one) => one.kms?.name ?? Object.keys(one)[0])
  return names.join(' ')
}

void test('without a move: transit-bridge writes, and identity reads existing data', async (t) => {
  const { code, stdout } = await run(t, '--config', '@config.yaml')
  t.equal(code, 0)
  t.match(parse(stdout), {
    apiVersion: 'apiserver.config.k8s.io/v1',
    resources: [
      {
        resources: ['secrets'],
        providers: [
          {
            kms: {
              apiVersion: 'v2',
              endpoint: 'unix:///run/transit-bridge/kms.sock',
              timeout: '3s',
            },
          },
          { identity: {} },
        ],
      },
    ],
  })
  const socket = '/run/transit-bridge/kms.sock'
  t.strictSame(
    checkEncryptionConfig(stdout, { socket }).map(({ severity }) => severity),
    ['note'],
  )
})

void test('a move is four steps, each with what comes next', async (t) => {
  const from = (step: string) => ['--from', 'kms:old=/run/old.sock', '--step', step]
  t.equal(await providers(t, ...from('read')), 'old transit-bridge identity')
  t.equal(await providers(t, ...from('write')), 'transit-bridge old identity')
  t.equal(await providers(t, ...from('rewrite')), 'transit-bridge old identity')
  t.equal(await providers(t, ...from('remove')), 'transit-bridge')
  t.match(await run(t, '--config', '@config.yaml', ...from('write')), {
    stdout: /^# Next: --step rewrite\.$/m,
  })
})

void test('each kind of old provider', async (t) => {
  t.equal(await providers(t, '--from', 'identity'), 'identity transit-bridge')
  t.equal(await providers(t, '--from', 'aescbc'), 'aescbc transit-bridge identity')
  t.equal(
    await providers(t, '--from', 'secretbox', '--step', 'write'),
    'transit-bridge secretbox identity',
  )
  t.equal(await providers(t, '--from', 'aesgcm'), 'aesgcm transit-bridge identity')
})

void test('name, resources and timeout are as asked', async (t) => {
  const { stdout } = await run(
    t,
    '--config',
    '@config.yaml',
    '--name',
    'tb',
    '--resources',
    'secrets,configmaps',
    '--timeout',
    '5s',
  )
  t.match(parse(stdout), {
    resources: [
      { resources: ['secrets', 'configmaps'], providers: [{ kms: { name: 'tb', timeout: '5s' } }] },
    ],
  })
})

/** Wrong command lines, and the message for each. */
const MISTAKES: readonly (readonly [args: string, words: RegExp])[] = [
  ['', /needs --config FILE, or --check FILE/],
  ['--config @config.yaml --name a:b', /this would be refused: .*contains a colon/],
  ['--config @config.yaml --resources secretz', /--resources: "secretz" is not a .*did you mean/],
  ['--config @config.yaml --resources secrets,deployments', /write deployments\.apps/],
  ['--config @config.yaml --resources Secrets', /this would be refused: .*write secrets/],
  ['--config @config.yaml --timeout 3', /--timeout must be a duration such as 3s, not "3"/],
  ['--config @config.yaml --from nothing', /--from must be identity, aescbc/],
  ['--config @config.yaml --step write', /--step needs --from/],
  [
    '--config @config.yaml --from aescbc --step go',
    /--step must be read, write, rewrite or remove, not "go"/,
  ],
  ['--config @config.yaml --json', /--json needs --check/],
  ['--check @good.yaml --name x', /--check and --name cannot be used together/],
  ['--check @nowhere.yaml', /nowhere\.yaml: cannot be read: there is no such file/],
]
for (const [args, words] of MISTAKES) {
  void test(`"config encryption ${args}" reports what is wrong`, async (t) => {
    const outcome = await run(t, ...args.split(' ').filter((word) => word !== ''))
    t.match(outcome, { code: 2, stdout: '', stderr: words })
  })
}

void test('--check says ok, unsafe or refused by its exit code, with file and line', async (t) => {
  const check = async (text: string, ...more: readonly string[]) => {
    const file = join(t.testdir({ 'a.yaml': text, 'config.yaml': VALID }), 'a.yaml')
    const at = more.map((word) => word.replace('@', file.replace('a.yaml', '')))
    return runHere(['config', 'encryption', '--check', file, ...at])
  }
  t.match(await check(GOOD), {
    code: 0,
    stdout: /a\.yaml: ok\nnote {5}.*a\.yaml:12: resources\[0\]\.providers\[1\]: allows plaintext/,
  })
  t.match(await check(GOOD, '--config', '@config.yaml'), { code: 0 })
  const other = GOOD.replace('kms.sock', 'other.sock')
  t.match(await check(other, '--config', '@config.yaml'), {
    code: 1,
    stdout: /^unsafe {3}.*no provider uses the socket/m,
    stderr: /would accept it, but something is unsafe/,
  })
  const refused = GOOD.replace('timeout: 3s', 'cachesize: 3')
  t.match(await check(refused), {
    code: 2,
    stdout: /^refused {2}.*a\.yaml:11: /m,
    stderr: /would refuse it/,
  })
  t.match(JSON.parse((await check(refused, '--json')).stdout), {
    ok: false,
    faults: [{ severity: 'refused', line: 11 }, {}],
  })
})
