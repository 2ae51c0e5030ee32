/**
 * README.md's section Install, block by block as it is written there, on a stand-in for a control-plane node of
 * kubeadm: OpenBao, etcd and kube-apiserver are real, and so are npm, bao, kubectl and the built program.
 *
 * This file runs itself again in namespaces of its own, where /etc, /opt, /run and /usr/local/bin can be written to without
 * a change of this host, and where the ports of the section are free. systemd does not run there: systemctl notes
 * what it was told, and the test starts the unit's ExecStart.
 */
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { t, test, type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { ROOT } from '../../commands/program.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KmsClient } from '../../real/program/kms-client.ts'
import { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { whyNoNode } from '../../real/cluster/kube-node.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { obtain } from '../../real/host/parts.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { Program } from '../../real/program/program.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { kubeconfigOf } from '../kube-config.ts'

/** Set inside: the process whose network leads outside. */
const OUTSIDE = 'README_INSTALL_OUTSIDE'
const UNIT = '/etc/systemd/system/transit-bridge-kms.service'
const SOCKET = '/run/transit-bridge/kms.sock'
const TOKEN = '/etc/transit-bridge/token'
/** Makes the namespaces' own file systems over those of the host, and runs the arguments there. */
const ENTER = `
set -eu
ip link set lo up
mount -t tmpfs tmpfs "$1"
for folder in etc opt usr/local/bin; do
  mkdir -p "$1/$folder/upper" "$1/$folder/work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder/upper,workdir=$1/$folder/work" "/$folder"
done
mount -t tmpfs tmpfs /run
shift
exec "$@"
`

type Block = { language: string; text: string }

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

/** Puts what a block of README shows where its first line says. */
function writeBlock({ text }: Block): void {
  const [, file] = /^# (\/[^\s:]+)/.exec(text) ?? []
  if (file === undefined) throw new Error(`a block names no file: ${text}`)
  write(file, text)
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

function write(file: string, text: string | Buffer, mode = 0o600): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text, { mode })
}

/** A person at a terminal, with a home: bao and setup ask. */
class Administrator {
  readonly home = tempFolder('administrator')
  readonly #folder: string
  readonly #tools = join(this.home, 'tools')
  readonly #answers: { question: RegExp; answer: string }[]

  constructor(folder: string, answers: { question: RegExp; answer: string }[]) {
    this.#folder = folder
    this.#answers = answers
    mkdirSync(this.#tools)
  }

  /** Puts a program on the PATH. */
  has(name: string, script: string): void {
    writeFileSync(join(this.#tools, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(this.#tools, name), 0o755)
  }

  /** Types a block into a shell, and what is asked for; gives what the terminal shows. The first failure ends it. */
  async types({ text }: Block, network?: string): Promise<string> {
    const script = join(this.home, 'block.sh')
    writeFileSync(script, text)
    // tap puts a loader for its coverage in there.
    const terminal = [
      'env',
      '-u',
      'NODE_OPTIONS',
      'script',
      '-qefc',
      `bash -e ${script}`,
      '/dev/null',
    ]
    const outside = network === undefined ? [] : ['nsenter', `--net=/proc/${network}/ns/net`]
    const [command = '', ...args] = [...outside, ...terminal]
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const child = spawn(command, args, { cwd: this.#folder, env: this.#environment() })
    const open = [...this.#answers]
    let shown = ''
    let answered = 0
    const see = (chunk: string) => {
      shown += chunk
      const next = open.findIndex(({ question }) => question.test(shown.slice(answered)))
      if (next < 0) return
      answered = shown.length
      child.stdin.write(`${open.splice(next, 1)[0]?.answer ?? ''}\n`)
    }
    child.stdout.setEncoding('utf8').on('data', see)
    child.stderr.setEncoding('utf8').on('data', see)
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(shown)
      else reject(new Error(`exit code ${String(code)} of\n${text}\n${shown}`))
    })
    return promise
  }

  #environment(): Record<string, string | undefined> {
    const { PATH = '', HOME = '' } = process.env
    const given = Object.entries(process.env).filter(([name]) =>
      /^(npm_config|https?_proxy)/i.test(name),
    )
    return {
      // What was downloaded for the repository is not downloaded again.
      npm_config_cache: join(HOME, '.npm'),
      npm_config_prefer_offline: 'true',
      ...Object.fromEntries(given),
      PATH: [this.#tools, '/usr/local/bin', PATH].join(':'),
      HOME: this.home,
      KUBECONFIG: '/etc/kubernetes/admin.conf',
      TERM: 'dumb',
    }
  }
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

function pipe(inner: Socket, port: number): void {
  const outer = connect({ host: '127.0.0.1', port })
  inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
  outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
  inner.pipe(outer).pipe(inner)
}

async function listen(t: Test, server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => server.close())
}

/** OpenBao as https://vault.example.com:8200. */
async function startVault(t: Test): Promise<OpenBao> {
  const authority = await CertificateAuthority.create('company CA')
  const names = ['vault.example.com']
  const bao = await OpenBao.start({ tls: await authority.server('vault', { names }) })
  t.teardown(() => bao.stop())
  appendFileSync('/etc/hosts', '\n127.0.0.1 vault.example.com\n')
  write('/etc/transit-bridge/vault-ca.pem', authority.caPem, 0o644)
  await listen(
    t,
    createServer((socket) => pipe(socket, bao.port)),
    8200,
  )
  return bao
}

/** etcd as kubeadm has it: TLS on port 2379, and the files to reach it. */
async function startEtcd(t: Test): Promise<Etcd> {
  const etcd = await Etcd.start()
  t.teardown(() => etcd.stop())
  const authority = await CertificateAuthority.create('etcd-ca')
  const server = await authority.server('etcd')
  const client = await authority.client('kube-apiserver-etcd-client')
  write('/etc/kubernetes/pki/etcd/ca.crt', authority.caPem)
  write('/etc/kubernetes/pki/apiserver-etcd-client.crt', readFileSync(client.certFile))
  write('/etc/kubernetes/pki/apiserver-etcd-client.key', readFileSync(client.keyFile))
  const tls = {
    cert: readFileSync(server.certFile),
    key: readFileSync(server.keyFile),
    ca: authority.caPem,
    requestCert: true,
    ALPNProtocols: ['h2', 'http/1.1'],
  }
  const port = Number(new URL(etcd.address).port)
  await listen(
    t,
    createTlsServer(tls, (socket) => pipe(socket, port)),
    2379,
  )
  return etcd
}

/** The API server that kubeadm's files speak of. */
async function startApiServer(
  t: Test,
  etcd: Etcd,
  signer: ServiceAccountIssuer,
  flags: string[] = [],
): Promise<KubeApiServer> {
  const api = await KubeApiServer.start({ etcd, signer, extraArgs: flags })
  t.teardown(() => api.stop())
  write('/etc/kubernetes/admin.conf', readFileSync(kubeconfigOf(api)))
  return api
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

  await person.types(build, outside)
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

const outside = process.env[OUTSIDE]
const skip = whyNoNode()
if (skip !== false) t.pass('needs a Linux host, and root', { skip })
else if (outside !== undefined) await test('followed', (t) => inside(t, outside))
else {
  const enter = ['--mount', '--net', '--propagation', 'private', 'sh', '-c', ENTER, 'sh']
  const again = [...enter, tempFolder('readme'), process.execPath, import.meta.filename]
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
  const env = { ...process.env, PATH: path, [OUTSIDE]: String(process.pid) }
  await t.spawn('unshare', again, { env }, 'in namespaces of its own')
}
