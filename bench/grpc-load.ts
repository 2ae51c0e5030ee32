import { connect, type Socket } from 'node:net'

/** Frame types and flags of HTTP/2 (RFC 9113, section 6). */
const DATA = 0x0
const HEADERS = 0x1
const RST_STREAM = 0x3
const SETTINGS = 0x4
const PING = 0x6
const GOAWAY = 0x7
const WINDOW_UPDATE = 0x8
const END_STREAM = 0x1
const ACK = 0x1
const END_HEADERS = 0x4
const FRAME_HEADER = 9
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
/** The maximum window size, so that flow control never limits the load. */
const WINDOW = 0x7fff_ffff - 65_535
const WINDOW_REFILL = 1 << 24

type Waiting = { bytes: number; resolve: () => void; reject: (error: Error) => void }

/**
 * A gRPC client that repeats one call on one connection with as little CPU time as possible: on a machine with two cores, an
 * ordinary client would dominate the measurement. It checks that each response contains a message, which a failed call does
 * not.
 */
export class GrpcLoad {
  readonly #socket: Socket
  readonly #headers: Buffer
  readonly #message: Buffer
  readonly #calls = new Map<number, Waiting>()
  #nextStream = 1
  #rest: Buffer = Buffer.alloc(0)
  #received = 0
  #outgoing: Buffer[] = []

  /** @param method as `/v2.KeyManagementService/Decrypt`; @param request the encoded message */
  static async open(socketPath: string, method: string, request: Uint8Array): Promise<GrpcLoad> {
    const socket = connect(socketPath)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new GrpcLoad(socket, method, request)
  }

  private constructor(socket: Socket, method: string, request: Uint8Array) {
    this.#socket = socket
    this.#headers = encodeHeaders(method)
    this.#message = encodeMessage(request)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('close', () => this.#failAll(new Error('the connection was closed')))
    socket.on('error', (error) => this.#failAll(error))
    this.#send(PREFACE)
    // SETTINGS_INITIAL_WINDOW_SIZE (0x4)
    this.#send(encodeFrame(SETTINGS, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])))
    this.#send(encodeFrame(WINDOW_UPDATE, 0, 0, encodeUint32(WINDOW)))
  }

  /** One call, with the request of {@link open} or another encoded one; rejects unless the response contains a message. */
  call(request?: Uint8Array): Promise<void> {
    const stream = this.#nextStream
    this.#nextStream += 2
    this.#send(encodeFrame(HEADERS, END_HEADERS, stream, this.#headers))
    const message = request === undefined ? this.#message : encodeMessage(request)
    this.#send(encodeFrame(DATA, END_STREAM, stream, message))
    return new Promise((resolve, reject) => {
      this.#calls.set(stream, { bytes: 0, resolve, reject })
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Frames of one turn of the event loop are sent in one write. */
  #send(frame: Buffer): void {
    this.#outgoing.push(frame)
    if (this.#outgoing.length === 1) {
      queueMicrotask(() => {
        this.#socket.write(Buffer.concat(this.#outgoing))
        this.#outgoing = []
      })
    }
  }

  #read(chunk: Buffer): void {
    let buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (buffer.length >= FRAME_HEADER) {
      const end = FRAME_HEADER + buffer.readUIntBE(0, 3)
      if (buffer.length < end) break
      this.#take(buffer.subarray(0, end))
      buffer = buffer.subarray(end)
    }
    this.#rest = buffer
  }

  #take(frame: Buffer): void {
    const type = frame[3] ?? 0
    const flags = frame[4] ?? 0
    const stream = frame.readUInt32BE(5)
    const length = frame.length - FRAME_HEADER
    if (type === SETTINGS && (flags & ACK) === 0) this.#send(encodeFrame(SETTINGS, ACK, 0))
    if (type === PING && (flags & ACK) === 0) {
      this.#send(encodeFrame(PING, ACK, 0, frame.subarray(FRAME_HEADER)))
    }
    if (type === GOAWAY) this.#failAll(new Error('the server sent GOAWAY'))
    const call = this.#calls.get(stream)
    if (call === undefined) return
    if (type === DATA) this.#count(call, length)
    if (type === RST_STREAM || (flags & END_STREAM && (type === HEADERS || type === DATA))) {
      this.#calls.delete(stream)
      if (call.bytes > 5) call.resolve()
      else call.reject(new Error('a call failed'))
    }
  }

  #count(call: Waiting, length: number): void {
    call.bytes += length
    this.#received += length
    if (this.#received < WINDOW_REFILL) return
    this.#send(encodeFrame(WINDOW_UPDATE, 0, 0, encodeUint32(this.#received)))
    this.#received = 0
  }

  #failAll(error: Error): void {
    for (const call of this.#calls.values()) call.reject(error)
    this.#calls.clear()
  }
}

function encodeFrame(type: number, flags: number, stream: number, payload?: Buffer): Buffer {
  const length = payload?.length ?? 0
  const frame = Buffer.allocUnsafe(FRAME_HEADER + length)
  frame.writeUIntBE(length, 0, 3)
  frame[3] = type
  frame[4] = flags
  frame.writeUInt32BE(stream, 5)
  payload?.copy(frame, FRAME_HEADER)
  return frame
}

function encodeUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Length-prefixed message of gRPC over HTTP/2: one byte of compression, four of length. */
function encodeMessage(request: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(request.length, 1)
  return Buffer.concat([prefix, request])
}

/** Literal header fields without indexing (RFC 7541, section 6.2.2): no state on either side. */
function encodeHeaders(method: string): Buffer {
  const headers = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', method],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ['grpc-timeout', '10S'],
  ]
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  return Buffer.concat(
    headers.flat().map((value, index) => {
      return index % 2 === 0 ? Buffer.concat([Buffer.from([0]), text(value)]) : text(value)
    }),
  )
}
