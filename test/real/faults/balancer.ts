import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** As HAProxy's `inter` and `fall`. */
const CHECK_INTERVAL_MS = 1_000
const FAILED_CHECKS = 2

export interface BalancerOptions {
  /** Default: any free one. */
  readonly port?: number
  /** Whether targets are used only while their `sys/health` says that they serve, and connections to others are closed. */
  readonly checks?: boolean
}

/**
 * A TCP load balancer, as it stands in front of a Vault cluster: each new connection goes to the next target
 * that accepts one. It does not know which target is the leader.
 */
export class Balancer {
  readonly address: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #socketsOf = new Map<URL, Set<Socket>>()
  readonly #down = new Set<URL>()
  readonly #stopped = new AbortController()
  #targets: readonly URL[]
  #next = 0

  static async start(
    targets: readonly string[],
    { port = 0, checks = false }: BalancerOptions = {},
  ): Promise<Balancer> {
    const server = createServer()
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const balancer = new Balancer(server, targets)
    if (checks) for (const target of balancer.#targets) void balancer.#check(target)
    return balancer
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
    this.#stopped.abort()
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #serve(client: Socket): void {
    this.#watch(client)
    const first = this.#next++
    const up = this.#targets.filter((target) => !this.#down.has(target))
    this.#link(
      client,
      up.map((_, step) => up[(first + step) % up.length]),
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
    const ofTarget = this.#socketsOf.get(target) ?? new Set()
    this.#socketsOf.set(target, ofTarget.add(upstream))
    let connected = false
    upstream.once('connect', () => {
      connected = true
      client.pipe(upstream).pipe(client)
    })
    upstream.once('close', () => {
      ofTarget.delete(upstream)
      if (connected) client.destroy()
      else this.#link(client, others)
    })
    client.once('close', () => upstream.destroy())
  }

  async #check(target: URL): Promise<void> {
    for (let failures = 0; !this.#stopped.signal.aborted;) {
      failures = (await serves(target)) ? 0 : failures + 1
      if (failures === 0) this.#down.delete(target)
      if (failures === FAILED_CHECKS) {
        this.#down.add(target)
        for (const socket of this.#socketsOf.get(target) ?? []) socket.destroy()
      }
      await sleep(CHECK_INTERVAL_MS)
    }
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}

async function serves(target: URL): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(CHECK_INTERVAL_MS)
    return (await fetch(new URL('/v1/sys/health?standbyok=true', target), { signal })).ok
  } catch {
    return false
  }
}
