import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import { BridgeError } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'
import type { ByteBudget, ByteShare } from './byte-budget.ts'
import type { ConnectionLimit, VolumeConnections } from './connection-limit.ts'
import { readListRequest, type ListRequest } from './list-request.ts'
import { statusOf, toErrorResponse } from './error-response.ts'
import { respondErrors, type PodRequest, type PodResponse } from './pod-request.ts'
import { readBody } from './request-body.ts'

/** Limits for idle and slow connections. Clients of Vault open a new connection for each call, or keep a few. */
const SERVER_OPTIONS: ServerOptions = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 60_000,
  connectionsCheckingInterval: 5_000,
  // A request without Host gets a response in Vault's format, like any other.
  requireHostHeader: false,
  noDelay: true,
}

/** A client must read a response within this time, because it is in memory until then. */
const READ_TIMEOUT_MS = 30_000

/** Node.js's parser also accepts HTTP/0.9, which has no headers. */
const HTTP_VERSIONS = new Set(['1.0', '1.1'])

/** Answers a request, with a response for errors, too. */
export type AnswerPod = (request: PodRequest) => Promise<PodResponse>

/** An HTTP server for the pod of one volume. It can listen on several sockets, one after the other. */
export class VolumeServer {
  readonly #answer: AnswerPod
  readonly #share: ByteShare
  readonly #clock: Clock
  readonly #servers = new Set<Server>()
  readonly #connections: VolumeConnections = new Set()
  readonly #limit: ConnectionLimit
  #closed = false

  /** `budget` and `limit` are shared by all volumes. */
  constructor(answer: AnswerPod, budget: ByteBudget, limit: ConnectionLimit, clock: Clock) {
    this.#limit = limit
    this.#answer = answer
    this.#share = budget.share()
    this.#clock = clock
  }

  /** Listens on a socket; returns a function that stops listening. Open connections stay open. */
  async listen(path: string): Promise<() => void> {
    const server = this.#createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
    this.#servers.add(server)
    return () => this.#close(server)
  }

  /** Stops listening and closes all connections. */
  end(): void {
    this.#closed = true
    for (const server of this.#servers) this.#close(server)
    for (const connection of this.#connections) connection.destroy()
  }

  #close(server: Server): void {
    this.#servers.delete(server)
    server.close()
  }

  #createServer(): Server {
    const server = createServer(SERVER_OPTIONS, (request, response) => {
      void this.#serve(request, response)
    })
    server.on('connection', (connection) => this.#add(connection))
    server.on('clientError', (error, connection) => {
      void this.#serveUnparsed(error, connection)
    })
    server.on('connect', (_, connection) => refuse(connection, 405, 'unsupported operation'))
    server.on('upgrade', (_, connection) => refuse(connection, 400, 'upgrades are not supported'))
    server.on('checkExpectation', (_, response) => {
      send(response, respondErrors(417, ['unsupported expectation']), true)
    })
    return server
  }

  #add(connection: Socket): void {
    // Node.js removes its own listener before `connect` and `upgrade`; an error without a listener ends the process.
    connection.on('error', () => undefined)
    // A client may send many requests before it reads the first response.
    connection.setMaxListeners(0)
    if (this.#closed) connection.destroy()
    else this.#limit.add(connection, this.#connections)
  }

  /** Answers a LIST, or refuses what is not a request; then closes the connection. */
  async #serveUnparsed(error: Error, connection: Duplex): Promise<void> {
    const list = readUnparsed(error)
    if (list === undefined || !connection.writable) {
      refuse(connection, 400, 'malformed request')
      return
    }
    const gone = new AbortController()
    connection.once('close', () => gone.abort())
    const answer = await this.#answer({
      method: 'LIST',
      target: list.target,
      namespace: list.headers.get('x-vault-namespace'),
      wantsWrapping: list.headers.has('x-vault-wrap-ttl'),
      body: Buffer.alloc(0),
      signal: gone.signal,
    })
    end(connection, this.#hold(answer, connection, connection))
  }

  /**
   * Counts a response until `sent` closes, and closes the connection if the client does not read it. Returns another response if the
   * volume holds too many bytes.
   */
  #hold(answer: PodResponse, sent: Duplex | ServerResponse, connection: Duplex): PodResponse {
    const { length } = answer.body
    try {
      if (sent.destroyed || connection.destroyed)
        throw new BridgeError('CANCELLED', 'the client disconnected')
      this.#share.take(length)
    } catch (thrown) {
      answer.body.fill(0)
      return toErrorResponse(BridgeError.from(thrown))
    }
    const cancelTimer = this.#clock.after(READ_TIMEOUT_MS, () => connection.destroy())
    onceClosed(sent, connection, () => {
      cancelTimer()
      answer.body.fill(0)
      this.#share.give(length)
    })
    return answer
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!HTTP_VERSIONS.has(message.httpVersion)) {
      send(response, respondErrors(505, ['only HTTP/1.1 and HTTP/1.0 are supported']), true)
      return
    }
    const gone = new AbortController()
    onceClosed(response, message.socket, () => gone.abort())
    try {
      const body = await readBody(message, this.#share)
      try {
        const answer = await this.#answer(toPodRequest(message, body.bytes, gone.signal))
        send(response, this.#hold(answer, response, message.socket))
      } finally {
        body.release()
      }
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      // The connection is closed, because the rest of the body would be parsed as the next request.
      send(response, respondErrors(statusOf(error), [error.message]), true)
    }
  }
}

/**
 * Calls `run` once, when a response is sent or its connection closes. A response that waits for the one before it does not emit `close`
 * when its connection closes.
 */
function onceClosed(sent: Duplex | ServerResponse, connection: Duplex, run: () => void): void {
  let isClosed = false
  const close = () => {
    // One event can cause the other, and a listener that is removed meanwhile is still called.
    if (isClosed) return
    isClosed = true
    sent.off('close', close)
    connection.off('close', close)
    run()
  }
  sent.on('close', close)
  if (sent !== connection) connection.on('close', close)
}

/** Reads what Node.js's parser could not parse. */
function readUnparsed(error: Error): ListRequest | undefined {
  const packet: unknown = 'rawPacket' in error ? error.rawPacket : undefined
  return Buffer.isBuffer(packet) ? readListRequest(packet) : undefined
}

function toPodRequest(message: IncomingMessage, body: Buffer, signal: AbortSignal): PodRequest {
  const { method = '', url = '', headers } = message
  const namespace = headers['x-vault-namespace']
  return {
    method,
    target: url,
    namespace: Array.isArray(namespace) ? namespace.join(',') : namespace,
    wantsWrapping: headers['x-vault-wrap-ttl'] !== undefined,
    body,
    signal,
  }
}

function send(
  response: ServerResponse,
  { status, body, retryAfterSeconds }: PodResponse,
  closes = false,
): void {
  const headers: Record<string, string | number> = {
    'Content-Type': 'application/json',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
  }
  if (retryAfterSeconds !== undefined) headers['Retry-After'] = retryAfterSeconds
  if (closes) headers['Connection'] = 'close'
  response.writeHead(status, headers)
  response.end(body)
}

/** Responds on a connection whose request Node.js cannot parse or does not handle. */
function refuse(connection: Duplex, status: number, words: string): void {
  if (!connection.writable) {
    connection.destroy()
    return
  }
  end(connection, respondErrors(status, [words]))
}

/** Writes a response without Node.js's HTTP server, and closes the connection. */
function end(connection: Duplex, { status, body }: PodResponse): void {
  const lines = [
    `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${String(body.length)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ]
  connection.write(`${lines.join('\r\n')}\r\n\r\n`)
  connection.end(body, () => connection.destroy())
}
