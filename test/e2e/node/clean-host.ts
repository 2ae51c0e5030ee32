/**
 * Replaces a clean host, on which tests follow the installation pages. The test's file runs itself again in separate namespaces,
 * in which it can write to /etc, /opt, /run, /var/lib and /usr/local/bin without changing this host, and in which all ports are
 * free. systemd does not run there.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { t, test, type Test } from 'tap'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { whyNoNode } from '../../real/cluster/kube-node.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { kubeconfigOf } from '../kube-config.ts'

/** Set inside: the process whose network leads outside. */
const OUTSIDE = 'CLEAN_HOST_OUTSIDE'
/** Makes the namespaces' own file systems over those of the host, and runs the arguments there. */
const ENTER = `
set -eu
ip link set lo up
mount -t tmpfs tmpfs "$1"
for folder in etc opt usr/local/bin var/lib; do
  mkdir -p "$1/$folder/upper" "$1/$folder/work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder/upper,workdir=$1/$folder/work" "/$folder"
done
mount -t tmpfs tmpfs /run
shift
exec "$@"
`

/** Runs a test on the clean host: `outside` is the process whose network leads outside. */
export async function onCleanHost(
  file: string,
  follow: (t: Test, outside: string) => Promise<void>,
): Promise<void> {
  const outside = process.env[OUTSIDE]
  const skip = whyNoNode()
  if (skip !== false) t.pass('needs a Linux host, and root', { skip })
  else if (outside !== undefined) await test('followed', (t) => follow(t, outside))
  else {
    const enter = ['--mount', '--net', '--propagation', 'private', 'sh', '-c', ENTER, 'sh']
    const again = [...enter, tempFolder('clean-host'), process.execPath, file]
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    const env = { ...process.env, PATH: path, [OUTSIDE]: String(process.pid) }
    await t.spawn('unshare', again, { env }, 'in separate namespaces')
  }
}

export type Block = { language: string; text: string }

/** Puts what a block of a page shows where its first line says. */
export function writeBlock({ text }: Block): void {
  const [, file] = /^# (\/[^\s:]+)/.exec(text) ?? []
  if (file === undefined) throw new Error(`a block names no file: ${text}`)
  write(file, text)
}

export function write(file: string, text: string | Buffer, mode = 0o600): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text, { mode })
}

/** A person at a terminal, with a home: bao and setup ask. */
export class Administrator {
  readonly home = tempFolder('administrator')
  readonly #folder: string
  readonly #tools = join(this.home, 'tools')
  readonly #answers: { question: RegExp; answer: string }[]

  readonly #kubeconfig: string

  constructor(
    folder: string,
    answers: { question: RegExp; answer: string }[],
    kubeconfig = '/etc/kubernetes/admin.conf',
  ) {
    this.#folder = folder
    this.#kubeconfig = kubeconfig
    this.#answers = answers
    mkdirSync(this.#tools)
  }

  /** Puts a program on the PATH. */
  has(name: string, script: string): void {
    writeFileSync(join(this.#tools, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(this.#tools, name), 0o755)
  }

  /**
   * Types a block into a shell, and answers to its questions; returns what the terminal shows. The first failure ends it.
   * `inside`: the command that enters other namespaces.
   */
  async types({ text }: Block, inside: readonly string[] = []): Promise<string> {
    const script = join(tempFolder('block'), 'block.sh')
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
    const [command = '', ...args] = [...inside, ...terminal]
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
      KUBECONFIG: this.#kubeconfig,
      TERM: 'dumb',
    }
  }
}

function pipe(inner: Socket, port: number): void {
  const outer = connect({ host: '127.0.0.1', port })
  inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
  outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
  inner.pipe(outer).pipe(inner)
}

export async function listen(t: Test, server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => server.close())
}

/** OpenBao as https://vault.example.com:8200. */
export async function startVault(t: Test): Promise<OpenBao> {
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

/** etcd as kubeadm runs it: TLS on port 2379, and the files to reach it. */
export async function startEtcd(t: Test): Promise<Etcd> {
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
export async function startApiServer(
  t: Test,
  etcd: Pick<Etcd, 'address'>,
  signer: ServiceAccountIssuer,
  flags: string[] = [],
): Promise<KubeApiServer> {
  const api = await KubeApiServer.start({ etcd, signer, extraArgs: flags })
  t.teardown(() => api.stop())
  write('/etc/kubernetes/admin.conf', readFileSync(kubeconfigOf(api)))
  return api
}
