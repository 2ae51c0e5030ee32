import { EventEmitter } from 'node:events'
import { constants, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'

/**
 * What all clients of a socket together may hold, so that none can exhaust the memory (docs/design.md, "Memory bounds"). An
 * API server has one connection per plugin, and one stream for each call.
 */
export interface ClientLimits {
  readonly maxConnections: number
  /** Open streams of all connections. */
  readonly maxStreams: number
  /** Streams whose request has not arrived completely. */
  readonly maxIncompleteStreams: number
  /** Incomplete requests that each connection may always have, no matter how many the others have. */
  readonly minIncompleteStreams: number
  /** Bytes of requests that have not arrived completely. */
  readonly maxIncompleteBytes: number
  /**
   * Bytes that a connection may send before the program reads them. With the default, 64 KiB (RFC 9113, section 6.9.2), a small
   * request waits until the large ones before it are read.
   */
  readonly connectionWindowBytes?: number | undefined
  /** Time until a request has arrived completely. */
  readonly requestTimeoutMs: number
  /** Time until a stream is closed, by which its answer must have been read. */
  readonly streamTimeoutMs: number
}

export const DEFAULT_LIMITS: ClientLimits = {
  maxConnections: 256,
  maxStreams: 4_096,
  maxIncompleteStreams: 2_048,
  minIncompleteStreams: 16,
  maxIncompleteBytes: 16 * 1024 * 1024,
  requestTimeoutMs: 5_000,
  streamTimeoutMs: 60_000,
}

/**
 * Headers of one call, as HTTP/2 counts them (RFC 9113, section 6.5.2). An API server and the CSI driver send less than
 * 1 KiB. Clients receive this limit, but Node.js enforces it only for clients that acknowledge it.
 */
export const MAX_HEADER_BYTES = 8 * 1024
const HEADER_OVERHEAD_BYTES = 32

const SWEEP_INTERVAL_MS = 1_000
/**
 * Closes the stream of a request that arrives too late. The caller sees INTERNAL, because the call has no gRPC status (gRPC
 * over HTTP2, "Errors"). With CANCEL, it would see CANCELLED, after which the kubelet assumes that a volume may be mounted
 * (docs/design.md, "CSI errors"). With an error code, some clients would close the connection.
 */
const LATE_CODE = constants.NGHTTP2_NO_ERROR

interface Connection {
  readonly socket: Socket
  streams: number
  incompleteStreams: number
  isEnding: boolean
  /** Whether a request ever arrived completely. */
  hasAsked: boolean
}

interface OpenStream {
  readonly stream: ServerHttp2Stream
  readonly connection: Connection
  readonly openedAt: number
  /** What has arrived of an incomplete request. */
  chunks: Buffer[]
  bytes: number
}

/**
 * Keeps the clients of one server within limits. Beyond them, it closes a connection that never sent a request, or the one whose
 * request has been incomplete for the longest time. Closed streams count until they are released.
 */
export class ClientBounds {
  readonly #limits: ClientLimits
  /** All three are ordered by age, oldest first. */
  readonly #connections = new Set<Connection>()
  readonly #open = new Set<OpenStream>()
  readonly #incomplete = new Set<OpenStream>()
  readonly #sweep: NodeJS.Timeout
  #incompleteBytes = 0
  #onIdle: (() => void)[] = []

  constructor(limits: ClientLimits) {
    this.#limits = limits
    this.#sweep = setInterval(() => this.#endLateStreams(), SWEEP_INTERVAL_MS)
    this.#sweep.unref()
  }

  /** Applies the limits to a listening server. */
  watch(server: Http2Server): void {
    let latest: Connection | undefined
    server.prependListener('connection', (socket: Socket) => {
      latest = this.#admit(socket)
    })
    server.on('session', (session) => {
      const connection = latest
      latest = undefined
      if (connection === undefined) session.destroy()
      else {
        const { connectionWindowBytes } = this.#limits
        if (connectionWindowBytes !== undefined) session.setLocalWindowSize(connectionWindowBytes)
        session.prependListener('stream', (stream, _headers, _flags, rawHeaders: string[]) => {
          if (countBytes(rawHeaders) > MAX_HEADER_BYTES) this.#close(connection)
          this.#take(stream, connection)
        })
      }
    })
  }

  /** Resolves when no stream is open. */
  idle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onIdle.push(resolve))
  }

  /** Ends every connection now. */
  end(): void {
    clearInterval(this.#sweep)
    for (const connection of this.#connections) this.#close(connection)
  }

  #admit(socket: Socket): Connection | undefined {
    if (this.#connections.size >= this.#limits.maxConnections) {
      const victim = this.#leastUseful()
      if (victim === undefined) {
        socket.destroy()
        return undefined
      }
      this.#close(victim)
    }
    const connection: Connection = {
      socket,
      streams: 0,
      incompleteStreams: 0,
      isEnding: false,
      hasAsked: false,
    }
    this.#connections.add(connection)
    socket.once('close', () => this.#connections.delete(connection))
    return connection
  }

  /** A connection that never sent a complete request, or else one without an open stream. */
  #leastUseful(): Connection | undefined {
    let idle: Connection | undefined
    for (const connection of this.#connections) {
      if (!connection.hasAsked) return connection
      if (connection.streams === 0) idle ??= connection
    }
    return idle
  }

  #close(connection: Connection): void {
    connection.isEnding = true
    this.#connections.delete(connection)
    connection.socket.destroy()
  }

  #take(stream: ServerHttp2Stream, connection: Connection): void {
    const { maxStreams, maxIncompleteStreams, minIncompleteStreams } = this.#limits
    stream.on('error', ignore)
    if (connection.isEnding || this.#open.size >= maxStreams) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM)
      return
    }
    const entry: OpenStream = {
      stream,
      connection,
      openedAt: performance.now(),
      chunks: [],
      bytes: 0,
    }
    this.#open.add(entry)
    this.#incomplete.add(entry)
    connection.streams += 1
    connection.incompleteStreams += 1
    stream.on('data', (chunk: Buffer) => this.#count(entry, chunk))
    stream.once('end', () => {
      // grpc-js has joined the chunks in another buffer (stream-decoder.ts), which the handler zeroes.
      for (const chunk of entry.chunks) chunk.fill(0)
      this.#release(entry)
      this.#touch(connection)
    })
    stream.once('close', () => {
      this.#forget(entry)
      releaseCall(stream)
    })
    if (this.#incomplete.size > maxIncompleteStreams)
      this.#closeOldest((each) => each.connection.incompleteStreams > minIncompleteStreams)
  }

  #forget(entry: OpenStream): void {
    this.#release(entry)
    this.#open.delete(entry)
    entry.connection.streams -= 1
    if (this.#open.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  #count(entry: OpenStream, chunk: Buffer): void {
    if (!this.#incomplete.has(entry)) return
    entry.chunks.push(chunk)
    entry.bytes += chunk.length
    this.#incompleteBytes += chunk.length
    if (this.#incompleteBytes > this.#limits.maxIncompleteBytes)
      this.#closeOldest((each) => each.bytes > 0)
  }

  #release(entry: OpenStream): void {
    if (!this.#incomplete.delete(entry)) return
    this.#incompleteBytes -= entry.bytes
    entry.chunks = []
    entry.connection.incompleteStreams -= 1
  }

  /** The connection was used just now: it becomes the youngest. */
  #touch(connection: Connection): void {
    connection.hasAsked = true
    if (this.#connections.delete(connection)) this.#connections.add(connection)
  }

  /** Closes the connection of the oldest incomplete request that `isMeant` selects. */
  #closeOldest(isMeant: (entry: OpenStream) => boolean): void {
    for (const entry of this.#incomplete) {
      if (entry.connection.isEnding || !isMeant(entry)) continue
      this.#close(entry.connection)
      return
    }
  }

  #endLateStreams(): void {
    const { requestTimeoutMs, streamTimeoutMs } = this.#limits
    const now = performance.now()
    for (const entry of this.#incomplete) {
      if (now - entry.openedAt < requestTimeoutMs) break
      entry.stream.close(LATE_CODE)
    }
    for (const entry of this.#open) {
      if (now - entry.openedAt < streamTimeoutMs) break
      entry.stream.close(constants.NGHTTP2_CANCEL)
    }
  }
}

/**
 * Removes the listeners of a closed stream, and with them what they refer to: its call. Node.js's own references keep most closed
 * streams in memory until the next full garbage collection. With their calls, these became three times as frequent
 * (docs/performance-notes.md, "Closed streams").
 */
function releaseCall(stream: ServerHttp2Stream): void {
  // Without listeners for this event, the others are removed at once, not one by one.
  stream.removeAllListeners('removeListener')
  // The method of a stream would also schedule work for a listener of "readable".
  EventEmitter.prototype.removeAllListeners.call(stream)
  stream.on('error', ignore)
}

function ignore(): void {
  // The stream is closed: there is nothing to do about its errors.
}

/** @param rawHeaders each name, followed by its value */
function countBytes(rawHeaders: readonly string[]): number {
  let bytes = (rawHeaders.length / 2) * HEADER_OVERHEAD_BYTES
  for (const each of rawHeaders) bytes += each.length
  return bytes
}
