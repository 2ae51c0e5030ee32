import { eventually } from '../host/eventually.ts'
import type { NetworkHost } from '../host/private-network.ts'
import { OpenBao, type Release } from './openbao.ts'

const NAMES = ['one', 'two', 'three'] as const

export type MemberName = (typeof NAMES)[number]

export interface ClusterOptions {
  /** The host of each member. Default: all on 127.0.0.1. */
  readonly hosts?: Readonly<Record<MemberName, NetworkHost>>
  /**
   * Members that forward all requests to the leader, as standbys of HashiCorp Vault Community do; others answer Transit
   * themselves. Default: the second one.
   */
  readonly forwarding?: readonly MemberName[]
  readonly release?: Release
}

/** A real OpenBao cluster: three raft members, one of them active, the others standbys. */
export class OpenBaoCluster {
  readonly members: readonly OpenBao[]

  /** Starts one; all members are unsealed when this returns, and the first one is the leader. */
  static async start(options: ClusterOptions = {}): Promise<OpenBaoCluster> {
    const [first, ...others] = NAMES
    const { forwarding = ['two'] } = options
    const start = (name: MemberName, join?: OpenBao) =>
      OpenBao.start({
        member: { name, join, standbyReads: !forwarding.includes(name) },
        host: options.hosts?.[name],
        release: options.release,
        audit: false,
      })
    const leader = await start(first)
    // By default a new member votes after 10 s.
    const autopilot = { server_stabilization_time: '1s' }
    await leader.api('POST', 'sys/storage/raft/autopilot/configuration', autopilot)
    const members = [leader]
    for (const name of others) members.push(await start(name, leader))
    const cluster = new OpenBaoCluster(members)
    await cluster.#untilAllVote(leader)
    return cluster
  }

  private constructor(members: readonly OpenBao[]) {
    this.members = members
  }

  get addresses(): string[] {
    return this.members.map(({ address }) => address)
  }

  /** The active member, waiting for an election if there is none. */
  async leader(): Promise<OpenBao> {
    return eventually('an active member', async () => {
      for (const member of this.members) if ((await healthOf(member)) === 200) return member
      return undefined
    })
  }

  /** Members that are unsealed and not active. */
  async standbys(): Promise<OpenBao[]> {
    const states = await Promise.all(this.members.map(healthOf))
    return this.members.filter((_, index) => states[index] === 429)
  }

  /** Makes the leader give up its role, as a rolling update does. */
  async stepDown(): Promise<void> {
    const leader = await this.leader()
    await leader.api('PUT', 'sys/step-down')
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()))
  }

  /** A member that is not a voter yet could not elect another leader. */
  async #untilAllVote(leader: OpenBao): Promise<void> {
    await eventually('all members to be voters', async () => {
      const { data } = await leader.api('GET', 'sys/storage/raft/configuration')
      const servers = data.config.servers as { voter: boolean }[]
      return servers.length === NAMES.length && servers.every(({ voter }) => voter)
    })
  }
}

/** The status of sys/health: 200 active, 429 standby; undefined when nothing answers. */
async function healthOf(member: OpenBao): Promise<number | undefined> {
  try {
    return (await member.request('GET', 'sys/health', undefined, { token: null })).status
  } catch {
    return undefined
  }
}
