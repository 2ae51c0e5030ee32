import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/**
 * A TCP load balancer, as it stands in front of a Vault cluster: each new connection goes to the next target
 * that accepts one. It does not know which target is the leader.
 */
export class Balancer {
  readonly address: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #targets: readonly URL[]
  #next = 0

  static async start(targets: readonly string[]): Promise<Balancer> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Balancer(server, targets)
  }

  private constructor(server: Server, targets: readonly string[]) {
    this.#server = server
    this.#targets = targets.map((target) => new URL(target))
    this.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (client) => this.#serve(client))
  }

  /** Sends new connections to these targets, and closes the open ones. */
  use(targets: readonly string[]): void {
    this.#targets = targets.map((target) => new URL(target))
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #serve(client: Socket): void {
    this.#watch(client)
    const first = this.#next++
    this.#link(
      client,
      this.#targets.map((_, step) => this.#targets[(first + step) % this.#targets.length]),
    )
  }

  /** Links the client to the first target that accepts. */
  #link(client: Socket, [target, ...others]: readonly (URL | undefined)[]): void {
    if (target === undefined) {
      client.destroy()
      return
    }
    const upstream = connect(Number(target.port), target.hostname)
    this.#watch(upstream)
    let connected = false
    upstream.once('connect', () => {
      connected = true
      client.pipe(upstream).pipe(client)
    })
    upstream.once('close', () => {
      if (connected) client.destroy()
      else this.#link(client, others)
    })
    client.once('close', () => upstream.destroy())
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}
