/**
 * README.md's section Install, block by block as it is written there, on a stand-in for a control-plane node of
 * kubeadm: OpenBao, etcd and kube-apiserver are real, and so are npm, bao, kubectl and the built program.
 *
 * systemd does not run there: systemctl notes
 * what it was told, and the test starts the unit's ExecStart.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { parse, stringify } from 'yaml'
import { ROOT } from '../../commands/program.ts'
import { KmsClient } from '../../real/program/kms-client.ts'
import { obtain } from '../../real/host/parts.ts'
import { Program } from '../../real/program/program.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import {
  Administrator,
  onCleanHost,
  startApiServer,
  startEtcd,
  startVault,
  write,
  writeBlock,
  type Block,
} from './clean-host.ts'

const UNIT = '/etc/systemd/system/transit-bridge-kms.service'
const SOCKET = '/run/transit-bridge/kms.sock'
const TOKEN = '/etc/transit-bridge/token'
function blocksOf(section: string): Block[] {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const [, text = ''] = new RegExp(`^## ${section}\\n(.*?)^## `, 'ms').exec(readme) ?? []
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', block = '']) => ({
    language,
    text: block,
  }))
}

/** What systemd does when the unit runs that a page shows for the renewal of the token. */
function renewalOf(page: string): Block {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const [, command = ''] = /^ExecStart=(.*create token.*)$/m.exec(text) ?? []
  const [, umask = ''] = /^UMask=(.*)$/m.exec(text) ?? []
  return { language: 'sh', text: `umask ${umask}\n${command}` }
}

/** Puts what a block of README adds to the manifest of kubeadm into one. */
function writeManifest({ text }: Block): void {
  const { spec } = parse(text) as { spec: { containers: [object]; volumes: object[] } }
  const [container] = spec.containers
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'kube-apiserver', namespace: 'kube-system' },
    spec: {
      ...spec,
      containers: [
        { name: 'kube-apiserver', image: 'registry.k8s.io/kube-apiserver', ...container },
      ],
    },
  }
  write('/etc/kubernetes/manifests/kube-apiserver.yaml', stringify(pod))
}

/** The sources as a clone has them, with what is not committed yet. */
function cloneSources(): string {
  const folder = join(tempFolder('clone'), 'transit-bridge')
  mkdirSync(folder)
  const options = { cwd: ROOT, maxBuffer: 1 << 28 }
  const files = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], options)
  const archive = execFileSync('tar', ['-c', '--null', '-T', '-'], { ...options, input: files })
  execFileSync('tar', ['-x', '-C', folder], { input: archive })
  return folder
}

/** What systemd does when the unit starts. */
async function startUnit(t: Test): Promise<KmsClient> {
  const unit = readFileSync(UNIT, 'utf8')
  const [, command = '', args = ''] = /^ExecStart=(\S+) (.*)$/m.exec(unit) ?? []
  const [, runtime = ''] = /^RuntimeDirectory=(.*)$/m.exec(unit) ?? []
  mkdirSync(join('/run', runtime), { mode: 0o700 })
  const program = Program.start({
    name: 'unit',
    command,
    args: args.split(' '),
    folder: tempFolder('unit'),
  })
  t.teardown(() => program.terminate())
  const client = new KmsClient(SOCKET)
  await program.waitUntil(
    'healthz ok',
    async () => (await client.status({ timeout: 1000 })).healthz === 'ok',
  )
  return client
}

async function inside(t: Test, outside: string): Promise<void> {
  const blocks = blocksOf('Install')
  t.equal(
    blocks.map(({ language }) => language).join(' '),
    'sh yaml sh sh sh sh yaml sh',
    'the section has the blocks that are followed here',
  )
  const [build, configure, check, setup, token, encryption, manifest, look] = blocks as [
    ...[Block, Block, Block, Block, Block, Block, Block, Block],
  ]
  const signer = await ServiceAccountIssuer.create()
  const [bao, etcd] = await Promise.all([startVault(t), startEtcd(t)])
  const before = await startApiServer(t, etcd, signer)
  await before.createSecret('default', 'before', { password: 'correct horse' })
  const person = new Administrator(cloneSources(), [
    { question: /Token .*: /, answer: bao.rootToken },
    { question: /\[y\/N\] /, answer: 'y' },
  ])
  person.has('bao', `exec ${await obtain('bao')} "$@"`)
  person.has('kubectl', `exec ${await obtain('kubectl')} "$@"`)
  person.has('systemctl', `echo "$*" >> ${join(person.home, 'systemctl.log')}`)

  await person.types(build, ['nsenter', `--net=/proc/${outside}/ns/net`])
  t.pass('1: npm ci, the tarball, and the link')
  writeBlock(configure)
  t.match(await person.types(check), /config\.yaml/, '2: the configuration is right')
  t.match(await person.types(setup), /k8s-etcd/, '3: Vault is ready')
  mkdirSync(dirname(UNIT), { recursive: true })
  await person.types(token)
  const told = readFileSync(join(person.home, 'systemctl.log'), 'utf8')
  t.equal(told, 'daemon-reload\nenable --now transit-bridge-kms\n', '4: what systemd receives')
  const renewal = renewalOf('docs/operations/systemd.md')
  const first = readFileSync(TOKEN, 'utf8')
  await person.types(renewal)
  const renewed = readFileSync(TOKEN, 'utf8')
  t.match(renewed, /^ey/, '4: the timer of systemd.md replaces the token')
  t.not(renewed, first)
  const client = await startUnit(t)
  t.teardown(() => client.close())
  t.pass('4: the unit serves, and its Status says ok')
  await person.types(encryption)
  await before.stop()
  await t.rejects(person.types(renewal), '4: without an API server the timer fails,')
  t.equal(readFileSync(TOKEN, 'utf8'), renewed, 'and the token stays')
  writeManifest(manifest)
  const flags = manifest.text.match(/(?<=- )--\S+/g) ?? []
  t.equal(flags.length, 2, '5: the manifest has the flags')
  const api = await startApiServer(t, etcd, signer, flags)
  await api.createSecret('default', 'after', { password: 'correct horse' })
  const stored = await etcd.get('/registry/secrets/default/after')
  t.match(stored?.toString('latin1'), /^k8s:enc:kms:v2:/, '5: Secrets are ciphertext')
  await t.rejects(
    person.types(look),
    { message: /NOT ok: of \d+ objects: 1 in plaintext/ },
    '6: verify finds the plaintext Secret',
  )
  await api.patchSecret('default', 'before')
  const shown = await person.types(look)
  t.match(
    shown,
    /ok: \d+ objects read, nothing in plaintext that must be encrypted/,
    '6: and nothing after it was rewritten',
  )
  t.notMatch(shown, /^fail /m, '6: doctor finds nothing to fix')
}

await onCleanHost(import.meta.filename, inside)
