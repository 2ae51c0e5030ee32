import { ALLOW_ALL } from '../csi/fixture.ts'
import { PodVault } from '../csi/pod-vault.ts'
import { eventually } from '../real/host/eventually.ts'
import { freePort } from '../real/host/port.ts'
import type { NetworkHost, PrivateNetwork } from '../real/host/private-network.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { Plugin } from '../real/program/plugin.ts'
import { Program } from '../real/program/program.ts'
import { Provider } from '../real/program/provider.ts'
import { KEY, KmsVault, ROLE } from '../real/vault/kms-vault.ts'
import type { OpenBao, Release } from '../real/vault/openbao.ts'
import { OpenBaoCluster, type MemberName } from '../real/vault/openbao-cluster.ts'
import { makeKey, rotateKey } from '../real/vault/transit-setup.ts'
import type { Standbys } from './event.ts'

export const APP_KEY = 'app-data'
const PATIENCE = { timeoutMs: 60_000, intervalMs: 100 }
const MEMBERS: readonly MemberName[] = ['one', 'two', 'three']

export interface Hosts {
  readonly nodes: Readonly<Record<MemberName, NetworkHost>>
  /** Where the programs run, and a balancer beside them. */
  readonly client: NetworkHost
}

export async function addHosts(network: PrivateNetwork): Promise<Hosts> {
  const one = await network.addHost('one')
  const two = await network.addHost('two')
  const three = await network.addHost('three')
  return { nodes: { one, two, three }, client: await network.addHost('client') }
}

/** A cluster whose nodes are hosts of a network, and what runs on the host of the plugin. */
export class RaftFixture {
  readonly network: PrivateNetwork
  readonly cluster: OpenBaoCluster
  readonly vault: KmsVault
  readonly pods: PodVault
  readonly #hosts: Hosts

  static async open(
    network: PrivateNetwork,
    hosts: Hosts,
    standbys: Standbys,
    release: Release = 'bao',
  ): Promise<RaftFixture> {
    const forwarding = standbys === 'forward' ? MEMBERS : []
    const cluster = await OpenBaoCluster.start({ hosts: hosts.nodes, forwarding, release })
    const vault = await KmsVault.start({ bao: await cluster.leader() })
    await makeKey(vault.bao, APP_KEY)
    return new RaftFixture(network, hosts, cluster, vault, await PodVault.startIn(vault))
  }

  private constructor(
    network: PrivateNetwork,
    hosts: Hosts,
    cluster: OpenBaoCluster,
    vault: KmsVault,
    pods: PodVault,
  ) {
    this.network = network
    this.#hosts = hosts
    this.cluster = cluster
    this.vault = vault
    this.pods = pods
  }

  async standby(): Promise<OpenBao> {
    const [standby] = await this.cluster.standbys()
    if (standby === undefined) throw new Error('the cluster has no standby')
    return standby
  }

  /** Nothing passes between a node and others, in either direction. */
  cut(member: OpenBao, from: 'all' | 'nodes' | 'client'): void {
    this.#hostOf(member).cutFrom(...this.#others(member, from))
  }

  /** What a node sends to others is lost; what they send arrives. */
  loseFrom(member: OpenBao, to: 'nodes' | 'client'): void {
    for (const other of this.#others(member, to)) this.#hostOf(member).loseTo(other)
  }

  async requireRelease(prefix: string): Promise<void> {
    for (const member of this.cluster.members) {
      const { version } = await member.api('GET', 'sys/seal-status')
      if (!String(version).startsWith(prefix)) throw new Error(`a node has version ${version}`)
    }
  }

  async rotate(): Promise<void> {
    await rotateKey(await this.cluster.leader(), KEY)
  }

  /** Waits until all nodes serve and have the same versions of the key. */
  async settle(): Promise<void> {
    await eventually(
      'three nodes that serve',
      async () => {
        const standbys = await this.cluster.standbys()
        const leader = await this.cluster.leader()
        return standbys.length === 2 && !standbys.includes(leader)
      },
      PATIENCE,
    )
    await eventually(
      'the same key at each node',
      async () => {
        const versions = new Set<number>()
        for (const member of this.cluster.members) {
          const { data } = await member.api('GET', `transit/keys/${KEY}`)
          versions.add(Number(data.latest_version))
        }
        return versions.size === 1
      },
      PATIENCE,
    )
  }

  /** The addresses in the order of a configuration. */
  async addresses(first: 'leader' | 'standby'): Promise<string[]> {
    const leader = await this.cluster.leader()
    const standbys = await this.cluster.standbys()
    const ordered = first === 'leader' ? [leader, ...standbys] : [...standbys, leader]
    return ordered.map(({ address }) => address)
  }

  /** A balancer on the host of the plugin, as HAProxy; returns its address. */
  async startBalancer(): Promise<{ address: string; program: Program }> {
    const port = await freePort()
    const file = new URL('balance.ts', import.meta.url).pathname
    const program = this.#startHere('balancer', [file, String(port), ...this.cluster.addresses])
    return { address: `http://127.0.0.1:${String(port)}`, program }
  }

  startProbe(): Program {
    const task = {
      nodes: this.cluster.addresses,
      login: 'auth/jwt/login',
      loginBody: JSON.stringify({ role: ROLE, jwt: this.vault.readToken() }),
      encrypt: `transit/encrypt/${KEY}`,
      token: this.vault.bao.rootToken,
    }
    const file = new URL('probe.ts', import.meta.url).pathname
    return this.#startHere('probe', [file, JSON.stringify(task)])
  }

  async startPlugin(address: string | string[]): Promise<Plugin> {
    const document = this.vault.configuration(address, { refreshInterval: '1s' })
    const vault = { ...document.vault, allowPlaintext: true }
    const log = { level: 'debug' }
    const plugin = await Plugin.launch({ ...document, vault, log }, this.#hosts.client.wrap)
    await plugin.waitForSocket()
    await plugin.waitForHealth('ok', PATIENCE)
    return plugin
  }

  async startProvider(address: string[]): Promise<Provider> {
    const configuration = {
      vault: { address, allowPlaintext: true },
      csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
      log: { level: 'info' },
    }
    return Provider.start(
      tempFolder('providers'),
      configuration,
      undefined,
      this.#hosts.client.wrap,
    )
  }

  async stop(): Promise<void> {
    await this.cluster.stop()
  }

  #startHere(name: string, args: string[]): Program {
    const line = this.#hosts.client.wrap({ command: process.execPath, args })
    return Program.start({ name, ...line, folder: tempFolder(name) })
  }

  #hostOf(member: OpenBao): NetworkHost {
    const { hostname } = new URL(member.address)
    const host = Object.values(this.#hosts.nodes).find(({ address }) => address === hostname)
    if (host === undefined) throw new Error(`no host has the address ${hostname}`)
    return host
  }

  #others(member: OpenBao, which: 'all' | 'nodes' | 'client'): NetworkHost[] {
    const own = this.#hostOf(member)
    const nodes = Object.values(this.#hosts.nodes).filter((host) => host !== own)
    const { client } = this.#hosts
    return { all: [...nodes, client], nodes, client: [client] }[which]
  }
}
