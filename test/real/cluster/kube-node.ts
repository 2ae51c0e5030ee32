import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Agent, request } from 'undici'
import { stringify } from 'yaml'
import { cacheFolder } from '../host/cache.ts'
import { withLock } from '../host/folder-lock.ts'
import type { JsonBody } from '../program/json-body.ts'
import {
  apiServerCommand,
  encryptionFile,
  etcdCommand,
  writeEtcdFiles,
  writeStaticPods,
  type ControlPlane,
} from './node/control-plane.ts'
import { PAUSE_IMAGE } from './node-image.ts'
import { obtain } from '../host/parts.ts'
import { CertificateAuthority } from '../host/pki.ts'
import { eventually, type Patience } from '../host/eventually.ts'
import { Program } from '../program/program.ts'
import { ServiceAccountIssuer } from './service-account.ts'
import { tempFolder } from '../host/temp-folder.ts'

/** From the ranges for documents, which lead nowhere: RFC 5737. */
const ADDRESS = '198.51.100.1'
const SERVICE_ADDRESS = '198.51.100.129'
const SERVICE_RANGE = '198.51.100.128/25'
const POD_RANGE = '203.0.113.0/24'
const NAME = 'node-1'
const CNI = '/usr/lib/cni'
const NEEDED = ['containerd', 'runc', 'ip', 'unshare', 'nsenter', 'ctr', 'buildah', 'debootstrap']
const ISSUER = 'https://kubernetes.default.svc'

/** Why no node can run here, in one line, or false: for the option `skip` of a test. */
export function whyNoNode(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'a real node needs Linux, and root'
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  const missing = NEEDED.filter((name) => !folders.some((folder) => existsSync(join(folder, name))))
  if (missing.length === 0 && existsSync(join(CNI, 'bridge'))) return false
  return `a real node needs ${missing.join(', ')}: apt-get install --no-install-recommends containerd runc containernetworking-plugins iproute2 buildah debootstrap`
}

interface NodeSetup {
  readonly controlPlane: ControlPlane
  readonly signer: ServiceAccountIssuer
  readonly environment: Record<string, string>
  readonly token: string
  readonly endTurn: () => void
  readonly hasStaticPods: boolean
}

interface NodeOptions {
  /** Runs etcd, with TLS, and the API server as static pods from the first boot on, as kubeadm does. */
  readonly isKubeadm?: boolean
}

/**
 * Nodes share the machine's cgroups of pods, and each kubelet removes those that it does not know: one node at a
 * time. Returns a function that ends the turn; a process that dies ends its turn.
 */
async function takeTurn(): Promise<() => void> {
  const turn = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  withLock(join(cacheFolder(), 'kube-node.lock'), () => {
    begun.resolve()
    return turn.promise
  }).catch(begun.reject)
  await begun.promise
  return turn.resolve
}

/** A real control-plane node: etcd, API server, controllers, kubelet, containerd, in separate namespaces. */
export class KubeNode {
  readonly folder: string
  /** What service-account tokens are verified with. */
  readonly signer: ServiceAccountIssuer
  readonly #environment: Record<string, string>
  readonly #agent: Agent
  readonly #token: string
  readonly #controlPlane: ControlPlane
  readonly #endTurn: () => void
  #hasStaticPods: boolean
  #init: Program

  /** Boots it and waits until it is ready to run pods. */
  static async start(
    imageArchive: string,
    { isKubeadm = false }: NodeOptions = {},
  ): Promise<KubeNode> {
    const endTurn = await takeTurn()
    const folder = tempFolder('kube-node')
    const authority = await CertificateAuthority.create('kube-node test CA')
    const names = [ADDRESS, SERVICE_ADDRESS, 'kubernetes.default.svc']
    const tls = await authority.server('kube-apiserver', { names })
    const signer = await ServiceAccountIssuer.create(ISSUER)
    const token = randomBytes(16).toString('hex')
    writeFiles(folder, { token, signer, caPem: authority.caPem })
    if (isKubeadm) await writeEtcdFiles(folder)
    const environment = {
      NODE: folder,
      NODE_ADDRESS: ADDRESS,
      SERVICE_ADDRESS,
      TLS_CA: tls.caFile,
      NODE_JS: process.execPath,
      FORWARD: join(import.meta.dirname, 'node/forward.ts'),
      KUBE_CONTROLLER_MANAGER: await obtain('kube-controller-manager'),
      KUBE_SCHEDULER: await obtain('kube-scheduler'),
      KUBELET: await obtain('kubelet'),
      PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
    }
    const controlPlane = {
      folder,
      etcd: await obtain('etcd'),
      apiServer: await obtain('kube-apiserver'),
      tls,
      address: ADDRESS,
      serviceRange: SERVICE_RANGE,
      issuer: ISSUER,
      hasSecureEtcd: isKubeadm,
    }
    const connect = { ca: authority.caPem, socketPath: join(folder, 'api.sock') }
    const node = new KubeNode(
      { controlPlane, signer, environment, token, endTurn, hasStaticPods: isKubeadm },
      new Agent({ connect }),
    )
    await node.#importImage(imageArchive)
    await node.waitReady()
    return node
  }

  private constructor(place: NodeSetup, agent: Agent) {
    this.folder = place.controlPlane.folder
    this.#controlPlane = place.controlPlane
    this.signer = place.signer
    this.#environment = place.environment
    this.#agent = agent
    this.#token = place.token
    this.#endTurn = place.endTurn
    this.#hasStaticPods = place.hasStaticPods
    this.#init = this.#boot()
  }

  /** Where a server of this process is found by the node at 127.0.0.1:8200. */
  get vaultSocket(): string {
    return join(this.folder, 'vault.sock')
  }

  /** For clients that run in the node's network: see run. */
  get kubeconfig(): string {
    return join(this.folder, 'admin.kubeconfig')
  }

  /** Everything ends at once, as when the power goes; the disk stays. */
  async cutPower(): Promise<void> {
    const init = this.#init.running ? this.#processOne() : undefined
    await this.#init.kill()
    // The kernel ends the other processes of the namespace after unshare, and then their init (pid_namespaces(7)):
    // until then the old API server still answers, as if it were ready again.
    if (init !== undefined) await eventually('the end of the node', () => hasEnded(init))
    await forgetCgroups()
  }

  /** Starts it after the power was cut, and waits for nothing. */
  powerOn(): void {
    this.#init = this.#boot()
  }

  /** The EncryptionConfiguration of the API server from the next boot on. */
  writeEncryptionConfig(text: string): void {
    writeFileSync(encryptionFile(this.folder), text)
  }

  /** From the next boot on, etcd and the API server are static pods: the kubelet alone starts them. */
  useStaticPods(): void {
    this.#hasStaticPods = true
  }

  /** From the next boot on, nothing leads from 127.0.0.1:8200 to {@link vaultSocket}: a pod serves there. */
  keepVaultInside(): void {
    writeFileSync(join(this.folder, 'vault-inside'), '')
  }

  async request(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH',
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: JsonBody }> {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const answer = await request(`https://localhost${path}`, {
      method,
      dispatcher: this.#agent,
      headersTimeout: 20_000,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.body.text()
    const isJson = String(answer.headers['content-type']).includes('json')
    return { status: answer.statusCode, body: isJson ? JSON.parse(text) : text }
  }

  /** Like request, but returns only the body, and throws with the server's message on 400 and above. */
  async api(...args: Parameters<KubeNode['request']>): Promise<JsonBody> {
    const { status, body } = await this.request(...args)
    if (status < 400) return body
    throw new Error(`${args[0]} ${args[1]}: ${String(status)} ${String(body?.message ?? body)}`)
  }

  /** The command that runs its arguments inside the node's network and file systems, until the next power cut. */
  get enter(): readonly [string, ...string[]] {
    return ['nsenter', '-t', String(this.#processOne()), '-m', '-n', '-p']
  }

  /** Starts a program inside the node's network and file systems. */
  run(name: string, command: string, args: readonly string[]): Program {
    const [enter, ...inside] = this.enter
    return Program.start({
      name,
      command: enter,
      args: [...inside, 'env', `KUBECONFIG=${this.kubeconfig}`, command, ...args],
      folder: this.folder,
    })
  }

  /** Where this process finds a file or a socket of the node's own file systems, until the next power cut. */
  pathOf(file: string): string {
    return `/proc/${String(this.#processOne())}/root${file}`
  }

  /** Waits until `holds` is true; says the end of the node's own words when it does not come to be. */
  waitUntil(
    what: string,
    holds: () => Promise<boolean> | boolean,
    patience?: Patience,
  ): Promise<void> {
    return this.#init.waitUntil(what, holds, { timeoutMs: 120_000, intervalMs: 100, ...patience })
  }

  async waitReady(): Promise<void> {
    await this.waitUntil(
      'the API server',
      async () => (await this.request('GET', '/readyz')).status === 200,
    )
    await this.waitUntil('the node', async () => {
      const { status } = await this.api('GET', `/api/v1/nodes/${NAME}`)
      return status.conditions.some(
        (each: JsonBody) => each.type === 'Ready' && each.status === 'True',
      )
    })
    const labels = { 'node-role.kubernetes.io/control-plane': '' }
    await this.api('PATCH', `/api/v1/nodes/${NAME}`, { metadata: { labels } })
  }

  /** The last lines of each program of the node. */
  log(name: string): string {
    return readFileSync(join(this.folder, 'log', `${name}.log`), 'utf8')
  }

  async stop(): Promise<void> {
    await this.cutPower()
    await this.#agent.destroy()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    this.#endTurn()
  }

  #boot(): Program {
    if (this.#hasStaticPods) writeStaticPods(this.#controlPlane)
    const commands = this.#hasStaticPods
      ? {}
      : {
          ETCD: etcdCommand(this.#controlPlane).join(' '),
          KUBE_APISERVER: apiServerCommand(this.#controlPlane).join(' '),
        }
    const namespaces = [
      '--mount',
      '--net',
      '--pid',
      '--fork',
      '--kill-child=SIGKILL',
      '--mount-proc',
    ]
    return Program.start({
      name: 'node',
      command: 'unshare',
      args: [...namespaces, 'sh', join(import.meta.dirname, 'node/boot.sh')],
      folder: this.folder,
      env: { ...this.#environment, ...commands },
    })
  }

  /** The init of the node, as this process sees it: the only child of unshare. */
  #processOne(): number {
    const { pid } = this.#init
    return Number(readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').trim())
  }

  async #importImage(archive: string): Promise<void> {
    const socket = '/run/containerd/containerd.sock'
    await this.waitUntil('containerd', async () => {
      const version = this.run('ctr-version', 'ctr', ['-a', socket, 'version'])
      return (await version.ended()).code === 0
    })
    const snapshots = ['--snapshotter', 'overlayfs', archive]
    await this.run('ctr', 'ctr', [
      '-a',
      socket,
      '-n',
      'k8s.io',
      'images',
      'import',
      ...snapshots,
    ]).finished()
  }
}

/** Whether a process is gone, or ended and only not yet waited for; see proc_pid_stat(5). */
function hasEnded(pid: number): boolean {
  try {
    return /^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return code === 'ENOENT' || code === 'ESRCH'
  }
}

/** No reboot leaves a control group behind; the kubelet would look at each for seconds. One with processes stays. */
async function forgetCgroups(): Promise<void> {
  const find = ['/sys/fs/cgroup', '-depth', '-type', 'd', '-path', '*/kubepods*']
  const remove = Program.start({
    name: 'cgroups',
    command: 'find',
    args: [...find, '-exec', 'rmdir', '{}', ';'],
    folder: tempFolder('cgroups'),
  })
  await remove.ended()
}

function writeFiles(
  folder: string,
  { token, signer, caPem }: { token: string; signer: ServiceAccountIssuer; caPem: string },
): void {
  const kubelet = randomBytes(16).toString('hex')
  const put = (name: string, text: string) =>
    writeFileSync(join(folder, name), text, { mode: 0o600 })
  put(
    'tokens.csv',
    `${token},admin,admin,system:masters\n${kubelet},system:node:${NAME},kubelet,system:nodes\n`,
  )
  put('sa.key', signer.privateKeyPem)
  put('sa.pub', signer.publicKeyPem)
  put('ca.pem', caPem)
  put('admin.kubeconfig', kubeconfig(folder, token))
  put('kubelet.kubeconfig', kubeconfig(folder, kubelet))
  put('kubelet.yaml', stringify(kubeletConfiguration()))
  put('containerd.toml', containerdConfiguration(folder))
  mkdirSync(join(folder, 'cni'))
  put('cni/10-node.conflist', JSON.stringify(podNetwork()))
}

function kubeconfig(folder: string, token: string): string {
  const cluster = {
    server: 'https://127.0.0.1:443',
    'certificate-authority': join(folder, 'ca.pem'),
  }
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'node', cluster }],
    users: [{ name: 'user', user: { token } }],
    contexts: [{ name: 'node', context: { cluster: 'node', user: 'user' } }],
    'current-context': 'node',
  })
}

function kubeletConfiguration(): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    staticPodPath: '/etc/kubernetes/manifests',
    resolvConf: '',
    makeIPTablesUtilChains: false,
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
    },
    fileCheckFrequency: '1s',
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
  }
}

function containerdConfiguration(folder: string): string {
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI}"
    conf_dir = "${join(folder, 'cni')}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`
}

function podNetwork(): object {
  const ipam = {
    type: 'host-local',
    dataDir: '/run/cni',
    ranges: [[{ subnet: POD_RANGE }]],
    routes: [{ dst: '0.0.0.0/0' }],
  }
  return {
    cniVersion: '1.0.0',
    name: 'node',
    plugins: [{ type: 'bridge', bridge: 'pods0', isGateway: true, ipMasq: false, ipam }],
  }
}
