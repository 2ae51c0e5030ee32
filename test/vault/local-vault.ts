import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'

/** A request as it arrived. */
export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** Answers one request; the number counts from 1. */
export type Handler = (response: ServerResponse, request: SeenRequest, count: number) => void

/**
 * A server that says what a test wants. It is not Vault: it is used where a real one cannot be made to show the
 * case (an answer cut in the middle, a load balancer's HTML, a 307). What Vault does is tested in client-openbao.
 */
export class LocalVault {
  readonly requests: SeenRequest[] = []
  readonly sockets: Socket[] = []
  readonly #server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>
  readonly #scheme: string
  #onRequest = () => {}
  handle: Handler

  static async start(t: Test, handle: Handler, tls?: ServerOptions): Promise<LocalVault> {
    const vault = new LocalVault(handle, tls)
    await new Promise<void>((resolve) => void vault.#server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => vault.stop())
    return vault
  }

  private constructor(handle: Handler, tls: ServerOptions | undefined) {
    this.handle = handle
    this.#scheme = tls === undefined ? 'http' : 'https'
    const listen = (request: IncomingMessage, response: ServerResponse) => {
      void this.#receive(request, response)
    }
    this.#server = tls === undefined ? createServer(listen) : createTlsServer(tls, listen)
    const event = tls === undefined ? 'connection' : 'secureConnection'
    this.#server.on(event, (socket: Socket) => this.sockets.push(socket))
  }

  get address(): string {
    return `${this.#scheme}://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`
  }

  /** Replaces the certificate for connections that come from now on. */
  useTls(options: ServerOptions): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(options)
  }

  /** Resolves when so many requests have come since the start. */
  async arrival(count: number): Promise<void> {
    while (this.requests.length < count) {
      await new Promise<void>((resolve) => (this.#onRequest = resolve))
    }
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const stopped = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await stopped
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const seen = { method, url, headers, body }
    this.requests.push(seen)
    this.#onRequest()
    this.handle(response, seen, this.requests.length)
  }
}

/** Answers as Vault does. */
export function answer(
  status: number,
  body: object | string = { data: {}, auth: {} },
  headers: Record<string, string> = {},
): Handler {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return (response) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(text)
  }
}

/** Handlers one after the other; the last stays. */
export function inTurn(...handlers: [Handler, ...Handler[]]): Handler {
  return (response, request, count) => {
    const handler = handlers[Math.min(count, handlers.length) - 1] ?? handlers[0]
    handler(response, request, count)
  }
}

/** Never answers. */
export const silence: Handler = () => {}
