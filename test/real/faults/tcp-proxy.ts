import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

type Mode =
  | { kind: 'pass' }
  | { kind: 'refuse' }
  | { kind: 'hang' }
  | { kind: 'slow'; delayMs: number }
  | { kind: 'cut'; afterBytes: number }
  | { kind: 'reset' }

/**
 * A TCP proxy in front of a real server, which fails in the ways that a network fails. It passes bytes,
 * so TLS goes through. The mode can be changed at any time:
 *
 * - `pass()`: as if it were not there;
 * - `refuse()`: the port is closed and every connection dropped, as when the process is gone;
 * - `hang()`: connections are accepted and nothing is answered; those that were open go silent, and
 *   stay so in every later mode, as when a firewall has forgotten them;
 * - `slow(ms)`: each chunk of an answer comes so much later;
 * - `cut(bytes)`: the request goes through, the answer ends after so many bytes of the connection
 *   (counted from the call);
 * - `reset()`: the request goes through, in place of the answer comes a TCP reset.
 */
export class TcpProxy {
  /** What clients use in place of the target's address. */
  readonly address: string
  readonly port: number
  /** How many connections were accepted so far. */
  accepted = 0
  readonly #target: { host: string; port: number }
  #server: Server
  #mode: Mode = { kind: 'pass' }
  readonly #links = new Set<Link>()

  /** Starts one; `target` is the real server's address, as `http://127.0.0.1:8200`. */
  static async start(target: string): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpProxy(new URL(target), server)
  }

  private constructor(target: URL, server: Server) {
    this.#target = { host: target.hostname, port: Number(target.port) }
    this.port = (server.address() as AddressInfo).port
    this.address = `${target.protocol}//127.0.0.1:${this.port}`
    this.#server = server
    this.#watch(server)
  }

  /** How many connections are open now. */
  get open(): number {
    return this.#links.size
  }

  async pass(): Promise<void> {
    await this.#change({ kind: 'pass' })
  }

  async refuse(): Promise<void> {
    await this.#change({ kind: 'refuse' })
  }

  async hang(): Promise<void> {
    await this.#change({ kind: 'hang' })
  }

  async slow(delayMs: number): Promise<void> {
    await this.#change({ kind: 'slow', delayMs })
  }

  async cut(afterBytes: number): Promise<void> {
    await this.#change({ kind: 'cut', afterBytes })
  }

  async reset(): Promise<void> {
    await this.#change({ kind: 'reset' })
  }

  /** Closes the port and every connection, for good. */
  async stop(): Promise<void> {
    await this.refuse()
  }

  async #change(mode: Mode): Promise<void> {
    this.#mode = mode
    for (const link of this.#links) {
      if (mode.kind === 'hang') link.silence()
      if (mode.kind === 'cut') link.answered = 0
    }
    if (mode.kind === 'refuse') {
      if (!this.#server.listening) return
      const closed = once(this.#server, 'close')
      this.#server.close()
      for (const link of this.#links) link.destroy()
      await closed
    } else if (!this.#server.listening) {
      this.#server = createServer({ allowHalfOpen: true }).listen(this.port, '127.0.0.1')
      await once(this.#server, 'listening')
      this.#watch(this.#server)
    }
  }

  #watch(server: Server): void {
    server.on('connection', (client) => {
      this.accepted += 1
      const link = new Link(client)
      this.#links.add(link)
      client.once('close', () => this.#links.delete(link))
      if (this.#mode.kind === 'hang') link.silence()
      else link.run(this.#target, () => this.#mode)
    })
  }
}

/** One connection of a client and the one to the target that belongs to it. */
class Link {
  /** Bytes of answers that went to the client. */
  answered = 0
  readonly #client: Socket
  #upstream: Socket | undefined
  #silent = false

  constructor(client: Socket) {
    this.#client = client
    client.setNoDelay(true)
    client.on('error', () => undefined)
  }

  /** From now on nothing is passed on; the connection stays open until the client gives up. */
  silence(): void {
    this.#silent = true
    this.#upstream?.destroy()
    // Read and discarded: a socket that is not read does not notice that the client disconnected.
    this.#client.removeAllListeners('data')
    this.#client.resume()
    this.#client.once('end', () => this.#client.destroy())
  }

  destroy(): void {
    this.#client.destroy()
    this.#upstream?.destroy()
  }

  run(target: { host: string; port: number }, mode: () => Mode): void {
    const client = this.#client
    const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true })
    this.#upstream = upstream
    upstream.on('error', () => {
      if (!this.#silent) client.destroy()
    })
    client.once('close', () => upstream.destroy())
    upstream.once('close', () => {
      if (!this.#silent && !client.writableEnded) client.destroy()
    })
    client.on('data', (chunk: Buffer) => {
      if (!upstream.write(chunk)) {
        client.pause()
        upstream.once('drain', () => client.resume())
      }
    })
    client.once('end', () => upstream.end())
    void this.#passAnswers(upstream, mode)
  }

  async #passAnswers(upstream: Socket, mode: () => Mode): Promise<void> {
    const client = this.#client
    try {
      for await (const data of upstream) {
        const chunk = data as Buffer
        const now = mode()
        if (now.kind === 'slow') await sleep(now.delayMs)
        if (this.#silent || client.destroyed) return
        if (now.kind === 'reset') {
          client.resetAndDestroy()
          return
        }
        const left = now.kind === 'cut' ? now.afterBytes - this.answered : chunk.length
        this.answered += chunk.length
        if (left < chunk.length) {
          client.write(chunk.subarray(0, Math.max(left, 0)), () => client.destroy())
          return
        }
        if (!client.write(chunk)) await Promise.race([once(client, 'drain'), once(client, 'close')])
      }
      if (!this.#silent) client.end()
    } catch {
      // The target closed in the middle: so does this side.
      if (!this.#silent) client.destroy()
    } finally {
      upstream.destroy()
    }
  }
}
