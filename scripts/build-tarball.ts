// Builds the tarball for hosts that run the plugin under systemd: the program with its Node.js, the unit, the
// policies and instructions. k3s and RKE2 need it, because they read Secrets before their kubelet starts any pod.
//
// usage: build-tarball.ts FOLDER    writes FOLDER/transit-bridge-VERSION-linux-ARCH.tar.gz
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderSystemdUnit } from '../src/node/files/systemd.ts'
import { writeManual } from './manual.ts'
import { copyProgram, pinnedNode, ROOT, VERSION } from './distribution.ts'

const HOME = '/opt/transit-bridge'
const CONFIG = `# /etc/transit-bridge/config.yaml; every key is in docs/configuration.md
vault:
  address: https://vault.example.com:8200
  caFile: /etc/transit-bridge/vault-ca.pem
  auth:
    method: jwt
    role: transit-bridge-kms
    tokenFile: /etc/transit-bridge/token
    audience: vault
transit:
  key: k8s-etcd
kms:
  socket: /run/transit-bridge/kms.sock
  clusterId: prod-eu-1 # never change it: it is part of what is stored
`

async function stage(folder: string): Promise<void> {
  mkdirSync(join(folder, 'bin'), { recursive: true })
  // The launcher looks for Node.js here first.
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true })
  cpSync(join(ROOT, 'bin/transit-bridge'), join(folder, 'bin/transit-bridge'))
  cpSync(pinnedNode(), join(folder, 'node_modules/.bin/node'))
  copyProgram(folder)
  cpSync(join(ROOT, 'vault-policies'), join(folder, 'vault-policies'), { recursive: true })
  cpSync(join(ROOT, 'docs/operations/systemd.md'), join(folder, 'INSTALL.md'))
  writeFileSync(join(folder, 'config.example.yaml'), CONFIG)
  writeFileSync(join(folder, 'transit-bridge-kms.service'), unit())
  await writeManual(join(folder, 'man/man1'))
}

function unit(): string {
  return renderSystemdUnit({
    configFile: '/etc/transit-bridge/config.yaml',
    socket: '/run/transit-bridge/kms.sock',
    files: ['/etc/transit-bridge/token', '/etc/transit-bridge/vault-ca.pem'],
    admin: undefined,
    image: '',
    program: `${HOME}/bin/transit-bridge`,
  })
}

function pack(parent: string, name: string, file: string): void {
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name']
  execFileSync('tar', ['-C', parent, ...owner, '-czf', file, name], { stdio: 'inherit' })
}

const [target, ...more] = process.argv.slice(2)
if (target === undefined || more.length > 0) {
  process.stderr.write('usage: build-tarball.ts FOLDER\n')
  process.exitCode = 2
} else {
  const parent = mkdtempSync(join(tmpdir(), 'transit-bridge-'))
  const file = join(target, `transit-bridge-${VERSION}-linux-${process.arch}.tar.gz`)
  try {
    await stage(join(parent, 'transit-bridge'))
    mkdirSync(target, { recursive: true })
    pack(parent, 'transit-bridge', file)
    process.stdout.write(`${file}\n`)
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}
