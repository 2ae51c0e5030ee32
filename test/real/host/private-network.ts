import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Program } from '../program/program.ts'
import type { CommandLine } from '../program/served-program.ts'
import { tempFolder } from './temp-folder.ts'

/** TEST-NET-2 (RFC 5737): it leads nowhere. */
const PREFIX = '198.51.100'
const OWN_NUMBER = 1
/** No network card has this address, so frames to it are lost without an error. */
const LOST = '02:00:00:00:00:ff'

/**
 * Hosts of one network, each in a network namespace, and this process with them. It must run in a network namespace of its own
 * already (`unshare --net`), because a namespace cannot be entered from Node.js. Only `ip`, `unshare` and `nsenter` are needed.
 */
export class PrivateNetwork {
  readonly #hosts: NetworkHost[] = []

  static open(): PrivateNetwork {
    if (run('ip', '-oneline', 'link', 'show', 'up').includes('link/ether'))
      throw new Error('run this in a network namespace of its own: unshare --net')
    run('ip', 'link', 'set', 'lo', 'up')
    run('ip', 'link', 'add', 'bridge', 'type', 'bridge')
    run('ip', 'address', 'add', `${PREFIX}.${String(OWN_NUMBER)}/24`, 'dev', 'bridge')
    run('ip', 'link', 'set', 'bridge', 'up')
    return new PrivateNetwork()
  }

  private constructor() {}

  async addHost(name: string): Promise<NetworkHost> {
    const number = OWN_NUMBER + 1 + this.#hosts.length
    const host = await NetworkHost.start(name, `${PREFIX}.${String(number)}`)
    this.#hosts.push(host)
    return host
  }

  /** All hosts reach each other again. */
  heal(): void {
    for (const host of this.#hosts) host.reachAll()
  }

  async stop(): Promise<void> {
    this.heal()
    for (const host of this.#hosts) await host.stop()
    run('ip', 'link', 'delete', 'bridge')
  }
}

/** A host of a {@link PrivateNetwork}. Its namespace ends with its last process. */
export class NetworkHost {
  readonly name: string
  readonly address: string
  readonly #holder: Program
  readonly #unreached = new Set<string>()

  static async start(name: string, address: string): Promise<NetworkHost> {
    const folder = tempFolder('host')
    const args = ['--net', 'sleep', 'infinity']
    const holder = Program.start({ name: 'host', command: 'unshare', args, folder })
    await holder.waitUntil(
      'its network namespace',
      () => readFileSync(`/proc/${String(holder.pid)}/comm`, 'utf8').trim() === 'sleep',
    )
    const host = new NetworkHost(name, address, holder)
    const outside = `to-${name}`
    run('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'eth0', 'netns', String(holder.pid))
    run('ip', 'link', 'set', outside, 'master', 'bridge', 'up')
    host.#ip('link', 'set', 'lo', 'up')
    host.#ip('address', 'add', `${address}/24`, 'dev', 'eth0')
    host.#ip('link', 'set', 'eth0', 'up')
    return host
  }

  private constructor(name: string, address: string, holder: Program) {
    this.name = name
    this.address = address
    this.#holder = holder
  }

  /** Changes a command line, so that the program runs on this host. */
  readonly wrap = ({ command, args }: CommandLine): CommandLine => {
    const enter = [`--net=/proc/${String(this.#holder.pid)}/ns/net`, '--no-fork', command]
    return { command: 'nsenter', args: [...enter, ...args] }
  }

  /** What this host sends to the other one is lost, of open connections too; what the other one sends arrives. */
  loseTo({ address }: NetworkHost): void {
    this.#unreached.add(address)
    this.#ip('neighbor', 'replace', address, 'lladdr', LOST, 'dev', 'eth0', 'nud', 'permanent')
  }

  /** Nothing arrives in either direction. */
  cutFrom(...others: readonly NetworkHost[]): void {
    for (const other of others) {
      this.loseTo(other)
      other.loseTo(this)
    }
  }

  reachAll(): void {
    for (const address of this.#unreached) this.#ip('neighbor', 'delete', address, 'dev', 'eth0')
    this.#unreached.clear()
  }

  async stop(): Promise<void> {
    await this.#holder.kill()
  }

  #ip(...args: string[]): void {
    const line = this.wrap({ command: 'ip', args })
    run(line.command, ...line.args)
  }
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
}
