// A file or an address that is wrong is named before Vault or an API server is asked.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'
import { tempFolder } from '../real/host/temp-folder.ts'
import { runMain } from '../verify/run-verify.ts'

const folder = tempFolder('early')
const config = join(folder, 'config.yaml')
const auth = { method: 'token', tokenFile: '/none/token' }
const vault = { address: 'http://127.0.0.1:1', auth }
writeFileSync(config, stringify({ vault, transit: { key: 'k' }, kms: { clusterId: 'c' } }))

const NO_FILE = 'etcd snapshot nofile: cannot be read: there is no such file'
const plan = ['--resources', 'secrets', '--plan']

for (const [args, message] of [
  [['drill', 'backup', 'nofile', '--config', config], NO_FILE],
  [['drill', 'restore', 'nofile', '--config', config], NO_FILE],
  [['verify', '--deep', '--snapshot', 'nofile', '--config', config], NO_FILE],
  [
    ['escrow', 'create', '--snapshot', 'nofile', '--config', config].concat([
      '--split',
      '2/3',
      '--out',
      join(folder, 'escrow'),
    ]),
    NO_FILE,
  ],
  [['rotate', '--config', config, '--kubeconfig', 'nofile', ...plan], 'nofile'],
  [
    ['rotate', '--config', config, '--plugin', 'ftp://a', ...plan],
    '--plugin: "ftp://a" is not an address',
  ],
  [
    ['rewrite', '--plugin', 'ftp://a', '--resources', 'secrets', '--dry-run'],
    '--plugin: "ftp://a" is not',
  ],
  [['status', '--config', 'nofile', '--kubeconfig', 'other'], 'nofile'],
] as const)
  void test(`"${args.slice(0, 2).join(' ')}" names ${message} first`, async (t) => {
    const { code, stdout, stderr } = await runMain(...args)
    t.same([code, stdout], [2, ''])
    t.ok(stderr.includes(message), stderr)
  })
