import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { findEtcd, ETCD_DISTRIBUTIONS, KINE_SOCKET } from '../../src/etcd/distributions.ts'
import { readValues } from '../../src/commands/cli/command.ts'
import { readVerification, verifyCommand, type VerifyValues } from '../../src/commands/verify.ts'
import { giveOptions } from '../commands/execute.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { runVerify } from './run-verify.ts'

function readOptions(typed: Record<string, string>) {
  return readVerification(readValues(verifyCommand, giveOptions(typed)) as VerifyValues)
}

type Mistake = readonly [args: string, message: string | RegExp]

/** Wrong command lines, and the one-line message for each. */
const MISTAKES: readonly Mistake[] = [
  ['--deep --endpoints a:1', "--deep needs --config FILE, the plugin's configuration"],
  ['--objects --endpoints a:1', '--objects needs --deep'],
  ['--config c --endpoints a:1', '--config is only for --deep and --offline'],
  ['--offline --endpoints a:1', "--offline needs --config FILE, the plugin's configuration"],
  [
    '--offline --deep --config c --endpoints a:1',
    '--deep asks Vault, and --offline does not; pass one of them',
  ],
  [
    '--offline --objects --config c --endpoints a:1',
    '--offline decrypts every object; remove --objects',
  ],
  [
    '--offline --resources secrets --config c --endpoints a:1',
    '--offline proves that all data can be read; remove --resources',
  ],
  ['--snapshot f --endpoints a:1', '--snapshot reads a file; remove --endpoints'],
  ['--snapshot f --cert c --key k', '--snapshot reads a file; remove --cert, --key'],
  ['--endpoints a:1 --cert c', '--cert and --key must be used together'],
  ['--endpoints a:1 --user u', '--user and --password-file must be used together'],
  ['--endpoints http://a:1 --cacert c', /^--endpoints has http:\/\//],
  ['--endpoints a:b:c', /^--endpoints: "a:b:c" is not an endpoint; write it like https:/],
  ['--endpoints ftp://a:1', /is not an endpoint/],
  ['--endpoints unix://kine.sock', /is not an endpoint/],
  ['--endpoints unix:///a --cacert c', /^--endpoints has unix:\/\//],
  ['--endpoints https://u@a:1', /is not an endpoint/],
  ['--endpoints a:1 --rate 0', '--rate must be a whole number from 1 to 1000000, not "0"'],
  ['--endpoints a:1 --rate fast', /^--rate must be a whole number/],
  [
    '--endpoints a:1 --resources secret',
    /"secret" is not a resource of Kubernetes; did you mean secrets/,
  ],
  [
    '--endpoints a:1 --resources secrets,configmaps --allow configmaps',
    'configmaps is in --resources and in --allow; remove one',
  ],
  ['--endpoints a:1 --allow secret', /did you mean secrets\?$/],
  ['--endpoints a:1 --resources widgets', /write custom resources with their group: NAME\.GROUP/],
  ['--endpoints a:1 --resources secrets.core', /"secrets\.core" is not a resource of Kubernetes/],
  ['--endpoints a:1 --resources apiserveripinfo', /kube-apiserver never encrypts apiserveripinfo/],
  ['--endpoints a:1 --skip-hash-check', /--skip-hash-check needs --snapshot FILE/],
  [
    '--endpoints a:1 --user u --password-file /nowhere',
    /^--password-file \/nowhere: cannot be read/,
  ],
]

for (const [args, message] of MISTAKES) {
  void test(`"verify ${args}" reports what is wrong`, async (t) => {
    const { code, stdout, stderr } = await runVerify(...args.split(' '))
    t.strictSame([code, stdout], [2, ''])
    t.match(stderr, /^transit-bridge: verify: .*\n$/)
    t.match(stderr.slice('transit-bridge: verify: '.length, -1), message)
  })
}

void test('a password does not leave the machine in the clear', async (t) => {
  const file = join(tempFolder('password'), 'password')
  writeFileSync(file, 'hunter2')
  const login = ['--user', 'u', '--password-file', file]
  const { code, stderr } = await runVerify('--endpoints', 'http://10.1.2.3:2379', ...login)
  t.equal(code, 2)
  t.match(stderr, /would send its password unencrypted/)
  t.notMatch(stderr, /hunter2/)
})

void test('endpoints are accepted in the forms of etcdctl', (t) => {
  const read = (typed: Record<string, string>) => readOptions(typed).source
  t.match(read({ endpoints: '127.0.0.1:2379, [::1]:2379' }), {
    access: { endpoints: ['http://127.0.0.1:2379', 'http://[::1]:2379'] },
  })
  t.match(read({ endpoints: 'unix:///run/kine.sock' }), {
    access: { endpoints: ['unix:///run/kine.sock'] },
  })
  t.match(read({ endpoints: 'a:1', cacert: 'ca' }), { access: { endpoints: ['https://a:1'] } })
  t.match(read({ cacert: 'ca' }), { access: { endpoints: ['https://127.0.0.1:2379'] } })
  t.end()
})

void test('the default rate puts little load on etcd', (t) => {
  t.match(readOptions({ endpoints: 'a:1' }), {
    prefix: '/registry/',
    rate: 5000,
    depth: 'envelopes',
  })
  t.equal(readOptions({ snapshot: 'f' }).rate, undefined, 'a file has no other readers')
  t.equal(readOptions({ endpoints: 'a:1', 'etcd-prefix': 'a/b' }).prefix, '/a/b/')
  t.equal(readOptions({ endpoints: 'a:1', 'etcd-prefix': '/' }).prefix, '/')
  t.end()
})

void test('the etcd of a known distribution is found by its files', (t) => {
  for (const place of ETCD_DISTRIBUTIONS) {
    const files: readonly string[] = [place.caFile, place.certFile, place.keyFile]
    t.equal(
      findEtcd((file) => files.includes(file)),
      place,
      place.name,
    )
    t.equal(
      findEtcd((file) => files.slice(1).includes(file)),
      undefined,
      'all of them are needed',
    )
  }
  t.match(
    findEtcd((file) => file === KINE_SOCKET),
    { endpoint: `unix://${KINE_SOCKET}` },
  )
  t.end()
})

void test('a file that is not an EncryptionConfiguration is a usage error', async (t) => {
  const file = join(tempFolder('encryption'), 'encryption.yaml')
  const ask = (text: string) => {
    writeFileSync(file, text)
    return runVerify('--endpoints', '127.0.0.1:1', '--encryption-config', file)
  }
  const secret = Buffer.alloc(32, 65).toString('base64')
  for (const text of ['kind: Secret', '[', '', `kind: EncryptionConfiguration\nkey: ${secret}`]) {
    const { code, stderr } = await ask(text)
    t.equal(code, 2, stderr)
    t.match(
      stderr,
      /^transit-bridge: --encryption-config .* is not a valid EncryptionConfiguration/,
    )
    t.notMatch(stderr, secret)
  }
  t.match(await runVerify('--endpoints', 'a:1', '--encryption-config', '/nowhere'), {
    code: 2,
    stderr: /there is no such file/,
  })
})
