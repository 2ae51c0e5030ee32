import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { Socket } from 'node:net'
import type { CancelTimer, Clock } from '../time/clock.ts'
import type { Logger } from '../telemetry/log.ts'
import type { AdminSources } from './app.ts'

/** Where the admin server listens. */
export interface AdminAddress {
  /** `*`: all addresses. */
  readonly host: string
  readonly port: number
}

export interface AdminServerOptions {
  readonly listen: AdminAddress
  readonly sources: AdminSources
  readonly clock: Clock
  readonly log: Logger
}

export interface AdminServer {
  /** The port that the server listens on; undefined while it does not listen. */
  readonly port: number | undefined
  stop(): Promise<void>
}

/** A client that hangs holds a file descriptor only for this time. */
const HEADERS_TIMEOUT_MS = 3_000
const REQUEST_TIMEOUT_MS = 5_000
const IDLE_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 128
const PIECE_BYTES = 1_024
/** A port that is in use is tried again: metrics must never decide whether Secrets can be read. */
const LISTEN_RETRY_MS = 15_000

/** Starts the admin server. If it cannot listen, it logs that and tries again; this is never fatal. */
export function startAdminServer(options: AdminServerOptions): AdminServer {
  const { listen, clock, log } = options
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
    },
    refusePipelining(answerWith(options.sources)),
  )
  closeOldest(server, MAX_CONNECTIONS)
  parseInPieces(server)
  let cancelRetry: CancelTimer = () => undefined
  let stopped = false
  // Without a host, Node.js listens on :: and so on IPv4, too, or on 0.0.0.0 where the kernel has no IPv6.
  const host = listen.host === '*' ? undefined : listen.host
  const tryToListen = () => void server.listen(listen.port, host)
  server.on('error', (error: NodeJS.ErrnoException) => {
    const address = `${listen.host}:${String(listen.port)}`
    const reason = error.code ?? error.message
    // A connection that cannot be accepted ends up here, too. The server still listens then, and listening twice throws.
    if (server.listening) {
      log.warn(`admin.listen: a connection to ${address} failed (${reason})`)
      return
    }
    if (stopped) return
    log.error(`admin.listen: cannot listen on ${address} (${reason}); trying again`)
    cancelRetry = clock.after(LISTEN_RETRY_MS, tryToListen)
  })
  tryToListen()
  return {
    get port() {
      return portOf(server)
    },
    stop: () => {
      stopped = true
      cancelRetry()
      return closeServer(server)
    },
  }
}

/**
 * Loads express with the first request: it takes longer to load than the rest of the program, when an API server may already
 * wait for its first call.
 */
function answerWith(sources: AdminSources): RequestListener {
  let app: Promise<RequestListener> | undefined
  return (request, response) => {
    app ??= import('./app.ts').then(({ createAdminApp }) => createAdminApp(sources))
    void app.then((answer) => answer(request, response))
  }
}

/**
 * Closes a connection that sends a request before it has read the last answer. No scraper or probe does that, and Node.js
 * would answer thousands of such requests at once and keep what the client does not read.
 */
function refusePipelining(answer: RequestListener): RequestListener {
  const busy = new WeakSet<Socket>()
  return (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    if (busy.has(socket)) {
      socket.destroy()
      return
    }
    busy.add(socket)
    response.once('close', () => busy.delete(socket))
    answer(request, response)
  }
}

/**
 * Hands the parser small pieces, and nothing more once the socket is destroyed. Node.js parses a whole read of 64 KiB,
 * which may hold 1,800 requests, and keeps them until the socket has closed, for every connection that is readable at the
 * same time (lib/_http_server.js, parserOnIncoming).
 */
function parseInPieces(server: Server): void {
  server.on('connection', (socket: Socket) => {
    const parsers = socket.listeners('data')
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length && !socket.destroyed; at += PIECE_BYTES) {
        const piece = chunk.subarray(at, at + PIECE_BYTES)
        for (const parse of parsers) Reflect.apply(parse, socket, [piece])
      }
    })
  })
}

/** Above this number of connections the oldest is closed, so that slow clients never block the next one. */
function closeOldest(server: Server, maxConnections: number): void {
  const connections = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    const [oldest] = connections
    if (connections.size <= maxConnections || oldest === undefined) return
    connections.delete(oldest)
    oldest.destroy()
  })
}

function portOf(server: Server): number | undefined {
  const address = server.address()
  return typeof address === 'object' ? address?.port : undefined
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
