import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import { BridgeError } from '../../../errors.ts'
import type { Clock } from '../../../time/clock.ts'
import type { ByteBudget, ByteShare, HeldBytes } from '../byte-budget.ts'
import type { ConnectionLimit, VolumeConnections } from './connection-limit.ts'
import { toErrorResponse } from '../error-response.ts'
import { send, sendAndClose } from './http-response.ts'
import { PacedConnection } from './paced-connection.ts'
import { ListRequests, type ListRequest } from './list-request.ts'
import { respondErrors, type PodRequest, type PodResponse } from '../pod-request.ts'
import { readBody, type ReadBody } from './request-body.ts'
import { RequestTurns } from './request-turns.ts'

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
  // One packet at a time is in memory.
  highWaterMark: 1,
}

/** A client must read a response within this time, because it is in memory until then. */
const READ_TIMEOUT_MS = 30_000

/** Node.js's parser also accepts HTTP/0.9, which has no headers. */
const HTTP_VERSIONS = new Set(['1.0', '1.1'])

/** Answers a request, with a response for errors, too. */
export type AnswerPod = (request: PodRequest) => Promise<PodResponse>

/** What happens to a request apart from its answer. */
export interface RequestGuard {
  /** Called before the body of a request is read. Throws OVERLOADED if the pod sends too many requests. */
  admit(): void
  /** Called with the response to a request that was refused before its answer, and when the request began. */
  refused(response: PodResponse, startedAt: number): void
}

const NO_GUARD: RequestGuard = { admit: () => undefined, refused: () => undefined }

/** An HTTP server for the pod of one volume. It can listen on several sockets, one after the other. */
export class VolumeServer {
  readonly #answer: AnswerPod
  readonly #share: ByteShare
  readonly #clock: Clock
  readonly #servers = new Set<Server>()
  readonly #connections: VolumeConnections = new Set()
  readonly #limit: ConnectionLimit
  readonly #guard: RequestGuard
  readonly #lists: ListRequests
  readonly #turns = new RequestTurns()
  #closed = false

  /** `budget` and `limit` are shared by all volumes. */
  constructor(
    answer: AnswerPod,
    budget: ByteBudget,
    limit: ConnectionLimit,
    clock: Clock,
    guard: RequestGuard = NO_GUARD,
  ) {
    this.#guard = guard
    this.#limit = limit
    this.#answer = answer
    this.#share = budget.share()
    this.#clock = clock
    this.#lists = new ListRequests(clock)
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
      if (this.#turns.begin(request, response)) void this.#serve(request, response)
    })
    // The server's own listener; any Duplex may be passed to it (Node.js's doc/api/http.md, 'connection').
    const [parse] = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      const connection = new PacedConnection(socket)
      if (parse !== undefined) Reflect.apply(parse, server, [connection])
      this.#add(connection)
    })
    server.on('clientError', (error, connection) => {
      if (this.#turns.endAfterCurrent(connection)) return
      const packet = packetOf(error)
      const use = (list: ListRequest | undefined) => {
        if (list !== undefined && connection.writable) void this.#serveList(list, connection)
        else sendAndClose(connection, this.#refuseMalformed(connection, packet))
      }
      this.#lists.add(connection, packet, use)
    })
    server.on('connect', (_, connection) => {
      if (this.#turns.endAfterCurrent(connection)) return
      sendAndClose(connection, this.#refuse(respondErrors(405, ['unsupported operation'])))
    })
    server.on('upgrade', (_, connection) => {
      if (this.#turns.endAfterCurrent(connection)) return
      sendAndClose(connection, this.#refuse(respondErrors(400, ['upgrades are not supported'])))
    })
    server.on('checkExpectation', (request, response) => {
      if (this.#turns.begin(request, response))
        send(response, this.#refuse(respondErrors(417, ['unsupported expectation'])), true)
    })
    return server
  }

  #add(connection: Duplex): void {
    // Node.js removes its own listener before `connect` and `upgrade`; an error without a listener ends the process.
    connection.on('error', () => undefined)
    if (this.#closed) connection.destroy()
    else this.#limit.add(connection, this.#connections)
  }

  /** Counts a request without an answer. Returns its response, or another one if the pod sends too many requests. */
  #refuse(response: PodResponse): PodResponse {
    const startedAt = this.#clock.monotonic()
    const excess = this.#admit(startedAt)
    if (excess === undefined) this.#guard.refused(response, startedAt)
    return excess ?? response
  }

  /** The response if the pod sends too many requests; undefined if this one may be answered. */
  #admit(startedAt: number): PodResponse | undefined {
    try {
      this.#guard.admit()
      return undefined
    } catch (thrown) {
      return this.#fail(thrown, startedAt)
    }
  }

  #fail(thrown: unknown, startedAt: number): PodResponse {
    const response = toErrorResponse(BridgeError.from(thrown))
    this.#guard.refused(response, startedAt)
    return response
  }

  /** Without a packet, the connection failed. A request whose body is malformed is counted when its body ends. */
  #refuseMalformed(connection: Duplex, packet: Buffer | undefined): PodResponse {
    const response = respondErrors(400, ['malformed request'])
    return packet === undefined || this.#turns.hasCurrent(connection)
      ? response
      : this.#refuse(response)
  }

  /** Answers a LIST; then closes the connection. */
  async #serveList(list: ListRequest, connection: Duplex): Promise<void> {
    const excess = this.#admit(this.#clock.monotonic())
    if (excess !== undefined) {
      sendAndClose(connection, excess)
      return
    }
    const gone = new AbortController()
    connection.once('close', () => gone.abort())
    const held = this.#share.hold()
    const answer = await this.#answer({
      method: 'LIST',
      target: list.target,
      namespace: list.headers.get('x-vault-namespace'),
      wantsWrapping: list.headers.has('x-vault-wrap-ttl'),
      body: Buffer.alloc(0),
      signal: gone.signal,
      onBytes: (bytes) => held.set(bytes),
    })
    sendAndClose(connection, this.#hold(answer, held, connection, connection))
  }

  /**
   * Counts a response until `sent` closes, and closes the connection if the client does not read it. Returns another response
   * if the volume holds too many bytes.
   */
  #hold(
    answer: PodResponse,
    held: HeldBytes,
    sent: Duplex | ServerResponse,
    connection: Duplex,
  ): PodResponse {
    try {
      if (sent.destroyed || connection.destroyed)
        throw new BridgeError('CANCELLED', 'the client disconnected')
      held.set(answer.body.length)
    } catch (thrown) {
      held.set(0)
      answer.body.fill(0)
      return toErrorResponse(BridgeError.from(thrown))
    }
    const cancelTimer = this.#clock.after(READ_TIMEOUT_MS, () => connection.destroy())
    sent.once('close', () => {
      cancelTimer()
      answer.body.fill(0)
      held.set(0)
    })
    return answer
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!HTTP_VERSIONS.has(message.httpVersion)) {
      const refusal = respondErrors(505, ['only HTTP/1.1 and HTTP/1.0 are supported'])
      send(response, this.#refuse(refusal), true)
      return
    }
    const startedAt = this.#clock.monotonic()
    const connection: Duplex = message.socket
    if (connection instanceof PacedConnection)
      connection.expectBody(Number(message.headers['content-length'] ?? 0))
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    let body: ReadBody
    try {
      this.#guard.admit()
      body = await readBody(message, this.#share.hold())
    } catch (thrown) {
      // The connection is closed, because the rest of the body would be parsed as the next request.
      send(response, this.#fail(thrown, startedAt), true)
      return
    }
    try {
      const held = this.#share.hold()
      const answer = await this.#answer({
        ...readHead(message),
        body: body.bytes,
        signal: gone.signal,
        onBytes: (bytes) => held.set(bytes),
      })
      send(response, this.#hold(answer, held, response, connection))
    } catch (thrown) {
      send(response, toErrorResponse(BridgeError.from(thrown)), true)
    } finally {
      body.release()
    }
  }
}

/** The packet that Node.js's parser could not parse. */
function packetOf(error: Error): Buffer | undefined {
  const packet: unknown = 'rawPacket' in error ? error.rawPacket : undefined
  return Buffer.isBuffer(packet) ? packet : undefined
}

type RequestHead = Pick<PodRequest, 'method' | 'target' | 'namespace' | 'wantsWrapping'>

function readHead({ method = '', url = '', headers }: IncomingMessage): RequestHead {
  const namespace = headers['x-vault-namespace']
  return {
    method,
    target: url,
    namespace: Array.isArray(namespace) ? namespace.join(',') : namespace,
    wantsWrapping: headers['x-vault-wrap-ttl'] !== undefined,
  }
}
