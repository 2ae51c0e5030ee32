import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** About 100 requests of the smallest size. Node.js parses and reports all requests in a packet at once. */
const SLICE_BYTES = 2 * 1024
/** The largest packet that Node.js reads. */
const MAX_SLICE_BYTES = 64 * 1024

/**
 * A connection whose bytes reach Node.js's parser in small slices, one in each turn of the event loop. A packet of 64 KiB can
 * contain 3,600 requests or 10,000 chunks of a body: 64 connections of one pod that send such packets would otherwise stop the
 * process for many seconds.
 */
export class PacedConnection extends Duplex {
  readonly #socket: Socket
  #bodyBytes = 0
  #isWanted = false
  #isStopped = false
  #next: NodeJS.Immediate | undefined

  /** Nothing else may read from the socket. */
  constructor(socket: Socket) {
    super({ allowHalfOpen: true })
    this.#socket = socket
    socket.on('readable', () => this.#schedule())
    socket.on('end', () => this.push(null))
    socket.on('timeout', () => this.emit('timeout'))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  /** Used by Node.js's HTTP server for idle connections. */
  setTimeout(ms: number): this {
    this.#socket.setTimeout(ms)
    return this
  }

  /** The next bytes are a body of this length, which the parser reports once for each slice, so slices may be larger. */
  expectBody(bytes: number): void {
    this.#bodyBytes = bytes
  }

  /** Reads nothing more. */
  stopReading(): void {
    this.#isStopped = true
    clearImmediate(this.#next)
  }

  override _read(): void {
    this.#isWanted = true
    this.#schedule()
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void) {
    this.#socket.write(chunk, encoding, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.stopReading()
    this.#socket.destroy()
    done(error)
  }

  #schedule(): void {
    if (!this.#isWanted || this.#isStopped) return
    this.#isWanted = false
    this.#next = setImmediate(() => this.#pushSlice())
  }

  #pushSlice(): void {
    const { readableLength } = this.#socket
    const bytes = Math.min(
      readableLength,
      Math.max(SLICE_BYTES, Math.min(this.#bodyBytes, MAX_SLICE_BYTES)),
    )
    // Also without bytes: the socket then reports its end, or `readable` later.
    const slice = (bytes === 0 ? this.#socket.read() : this.#socket.read(bytes)) as Buffer | null
    if (slice === null) {
      this.#isWanted = true
      return
    }
    this.#bodyBytes = Math.max(0, this.#bodyBytes - slice.length)
    this.push(slice)
    // The parser copies what it needs.
    if (this.readableLength === 0) slice.fill(0)
  }
}
