import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { MountNamespace } from '../host/mount-namespace.ts'
import { tempFolder } from '../host/temp-folder.ts'
import type { Wrap } from '../program/served-program.ts'

/** Types of records (RFC 1035, section 3.2.2; RFC 3596, section 2.1). */
const [A, AAAA] = [1, 28]
const HEADER_BYTES = 12

/**
 * A name server on a separate loopback address, which programs in a mount namespace ask. It answers every name with the
 * same addresses, in their order, or does not answer. Needs root.
 */
export class NameServer {
  /** IPv4 addresses and `::1`. */
  addresses: readonly string[]
  isSilent = false
  /** Where it listens. */
  readonly host: string
  readonly #socket: Socket
  readonly #namespace: MountNamespace
  /** Mounted over /etc. */
  readonly #etc: string

  static async start(addresses: readonly string[]): Promise<NameServer> {
    const socket = createSocket('udp4')
    const host = `127.53.${String(randomInt(256))}.${String(randomInt(1, 255))}`
    socket.bind(53, host)
    await once(socket, 'listening')
    const folder = tempFolder('names')
    const etc = join(folder, 'etc')
    mkdirSync(etc)
    for (const name of ['ld.so.cache', 'passwd', 'group'])
      copyFileSync(join('/etc', name), join(etc, name))
    // The host may ask a service of its own, such as systemd-resolved.
    writeFileSync(join(etc, 'nsswitch.conf'), 'hosts: files dns\n')
    const namespace = await MountNamespace.start(folder)
    const server = new NameServer(addresses, host, socket, namespace, etc)
    server.replace('resolv.conf', `nameserver ${host}\n`)
    server.replace('hosts', '127.0.0.1 localhost\n')
    const { command, args } = namespace.inside('mount', ['--bind', etc, '/etc'])
    execFileSync(command, args)
    return server
  }

  private constructor(
    addresses: readonly string[],
    host: string,
    socket: Socket,
    namespace: MountNamespace,
    etc: string,
  ) {
    this.addresses = addresses
    this.host = host
    this.#socket = socket
    this.#namespace = namespace
    this.#etc = etc
    socket.on('message', (query, { port, address }) => {
      if (!this.isSilent) socket.send(this.#answer(query), port, address)
    })
  }

  /** Runs a program in the namespace. */
  readonly wrap: Wrap = ({ command, args }) => this.#namespace.inside(command, args)

  /** Replaces a file in /etc by a rename, as programs that manage networks do. */
  replace(name: 'hosts' | 'resolv.conf', content: string): void {
    writeFileSync(join(this.#etc, `${name}.new`), content)
    renameSync(join(this.#etc, `${name}.new`), join(this.#etc, name))
  }

  async stop(): Promise<void> {
    this.#socket.close()
    await this.#namespace.stop()
  }

  #answer(query: Buffer): Buffer {
    const nameEnd = query.indexOf(0, HEADER_BYTES) + 1
    const type = query.readUInt16BE(nameEnd)
    const found = this.addresses.filter((address) => type === (isIPv6(address) ? AAAA : A))
    const header = Buffer.from(query.subarray(0, HEADER_BYTES))
    // A response without an error; the counts of answers, authorities and additional records.
    header.writeUInt16BE(0x8180, 2)
    header.writeUInt16BE(found.length, 6)
    header.writeUInt32BE(0, 8)
    const question = query.subarray(HEADER_BYTES, nameEnd + 4)
    return Buffer.concat([header, question, ...found.map((address) => encodeRecord(type, address))])
  }
}

/** A record for the name of the question, with a lifetime of a second. */
function encodeRecord(type: number, address: string): Buffer {
  const data = isIPv6(address)
    ? Buffer.from([...Array<number>(15).fill(0), 1])
    : Buffer.from(address.split('.').map(Number))
  const record = Buffer.alloc(12)
  record.writeUInt16BE(0xc00c, 0)
  record.writeUInt16BE(type, 2)
  record.writeUInt16BE(1, 4)
  record.writeUInt32BE(1, 6)
  record.writeUInt16BE(data.length, 10)
  return Buffer.concat([record, data])
}
