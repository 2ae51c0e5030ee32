import { once } from 'node:events'
import {
  connect as connectHttp2,
  constants,
  createServer,
  type ClientHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { BridgeError } from '../../src/errors.ts'
import { ClientBounds, DEFAULT_LIMITS, type ClientLimits } from '../../src/grpc/client-bounds.ts'
import { eventually } from '../real/host/eventually.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { gate, grpcFixture, type Handlers } from './fixture.ts'

const seed = Buffer.alloc(32, 7)
const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants
const HEADERS = {
  ':method': 'POST',
  ':path': '/v2.KeyManagementService/Encrypt',
  'content-type': 'application/grpc',
  te: 'trailers',
}

async function boundedFixture(t: Test, limits: Partial<ClientLimits>, handlers: Handlers = {}) {
  const fixture = await grpcFixture(handlers, { limits })
  t.teardown(fixture.stop)
  return fixture
}

async function open(t: Test, path: string): Promise<Socket> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  socket.resume()
  await once(socket, 'connect')
  t.teardown(() => socket.destroy())
  return socket
}

async function http2Session(t: Test, path: string): Promise<ClientHttp2Session> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) })
  session.on('error', () => undefined)
  t.teardown(() => session.destroy())
  await once(session, 'connect')
  return session
}

/** A stream whose request never becomes complete; its second part is the code that it is reset with. */
function incomplete(session: ClientHttp2Session, body: Buffer = Buffer.alloc(0)) {
  const stream = session.request(HEADERS, { endStream: false })
  stream.on('error', () => undefined)
  stream.resume()
  if (body.length > 0) stream.write(body)
  const { promise: reset, resolve } = Promise.withResolvers<number | undefined>()
  stream.once('close', () => resolve(stream.rstCode))
  return { stream, reset }
}

/** Resolves when the server has seen all that was sent before; rejects when the connection has ended. */
function ping(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    session.ping((error) => (error === null ? resolve() : reject(error)))
  })
}

/** The header of a message of gRPC that says how long it is, and less than that. */
function partOfMessage(bytes: number): Buffer {
  const part = Buffer.alloc(bytes)
  part.writeUInt32BE(100_000, 1)
  return part
}

void test('of too many connections the oldest that never asked anything is closed', async (t) => {
  const { socket, client } = await boundedFixture(t, { maxConnections: 4 })
  await client.encrypt(seed)
  const silent = [await open(t, socket), await open(t, socket), await open(t, socket)]
  const closed = once(silent[0] ?? t, 'close')
  silent.push(await open(t, socket))
  await closed
  t.match(await client.status(), { healthz: 'ok' }, 'the caller keeps its connection')
  t.notOk(silent[1]?.destroyed)
})

void test('where every connection has a call in flight, a new one is closed', async (t) => {
  const arrived = gate()
  const ended = gate()
  const encrypt = async () => {
    arrived.open()
    await ended.opened
    return seed
  }
  const { socket, client } = await boundedFixture(t, { maxConnections: 1 }, { encrypt })
  const call = client.encrypt(seed)
  await arrived.opened
  const late = await open(t, socket)
  await once(late, 'close')
  ended.open()
  t.match(await call, { keyId: 'k' })
})

void test('of too many streams without a request, the connection of the oldest is closed', async (t) => {
  const limits = { maxIncompleteStreams: 8, minIncompleteStreams: 2 }
  const { socket, client } = await boundedFixture(t, limits)
  await client.encrypt(seed)
  const [few, many] = [await http2Session(t, socket), await http2Session(t, socket)]
  const kept = incomplete(few)
  await ping(few)
  const closed = once(many, 'close')
  for (let count = 0; count < 8; count += 1) incomplete(many)
  await closed
  t.match(await client.encrypt(seed), { keyId: 'k' })
  t.notOk(few.destroyed, 'one with few of them is left alone')
  t.notOk(kept.stream.destroyed)
})

void test('of too many bytes of incomplete requests, the connection of the oldest is closed', async (t) => {
  const { socket, client } = await boundedFixture(t, { maxIncompleteBytes: 100_000 })
  await client.encrypt(seed)
  const session = await http2Session(t, socket)
  const closed = once(session, 'close')
  for (let count = 0; count < 5; count += 1) incomplete(session, partOfMessage(30_000))
  await closed
  t.match(await client.encrypt(seed), { keyId: 'k' })
})

void test('a request that does not become complete in time is reset, with a code that is not CANCELLED to its caller', async (t) => {
  const { socket, client } = await boundedFixture(t, { requestTimeoutMs: 50 })
  const session = await http2Session(t, socket)
  const { reset } = incomplete(session, partOfMessage(10))
  t.equal(await reset, NGHTTP2_NO_ERROR)
  t.match(await client.encrypt(seed), { keyId: 'k' })
})

void test('a connection may send large requests without delaying the small ones behind them', async (t) => {
  const { socket } = await boundedFixture(t, { connectionWindowBytes: 8 * 1024 * 1024 })
  const session = await http2Session(t, socket)
  await eventually('the window of the connection', () =>
    Promise.resolve((session.state.remoteWindowSize ?? 0) >= 8 * 1024 * 1024),
  )
})

void test('an answer that is never read is abandoned', async (t) => {
  const encrypt = () => Promise.resolve(Buffer.alloc(500_000))
  const { socket } = await boundedFixture(t, { streamTimeoutMs: 200 }, { encrypt })
  const session = await http2Session(t, socket)
  const stream = session.request(HEADERS)
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  stream.on('error', () => undefined)
  stream.once('close', resolve)
  stream.pause()
  stream.end(Buffer.alloc(5))
  await closed
  t.equal(stream.rstCode, NGHTTP2_CANCEL)
})

void test('more streams than may be open are refused, which a client of gRPC tries again', async (t) => {
  const ended = gate()
  const encrypt = async () => {
    await ended.opened
    return seed
  }
  const { socket } = await boundedFixture(t, { maxStreams: 2 }, { encrypt })
  const session = await http2Session(t, socket)
  const streams = [1, 2, 3].map(() => {
    const { stream, reset } = incomplete(session)
    stream.end(Buffer.alloc(5))
    return { stream, reset }
  })
  t.equal(await streams[2]?.reset, NGHTTP2_REFUSED_STREAM)
  ended.open()
  t.same(await Promise.all(streams.slice(0, 2).map(({ reset }) => reset)), [0, 0])
})

void test('thousands of callers that give up leave the connection to the others on it', async (t) => {
  const encrypt: Handlers['encrypt'] = (_request, { signal }) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(new BridgeError('CANCELLED', 'gone')))
    })
  const { socket, stop } = await grpcFixture({ encrypt }, { maxInFlight: 1_000 })
  t.teardown(stop)
  const session = await http2Session(t, socket)
  session.on('goaway', (code) => t.fail(`GOAWAY with code ${String(code)}`))
  // Node.js ends a connection after 1,000 resets and more than 33 a second (src/grpc/http2-server.ts).
  for (let count = 0; count < 3_000; count += 500) {
    const streams = Array.from({ length: 500 }, () => {
      const { stream } = incomplete(session)
      stream.end(Buffer.alloc(5))
      return stream
    })
    // A stream that is reset before the server has seen it does not count.
    await ping(session)
    for (const stream of streams) stream.close(NGHTTP2_CANCEL)
    await ping(session)
  }
  t.notOk(session.destroyed)
})

void test('a closed stream keeps no listeners, and so no call, in memory', async (t) => {
  const bounds = new ClientBounds(DEFAULT_LIMITS)
  const server = createServer()
  const socket = join(tempFolder('bounds'), 'http2.sock')
  const { promise: closed, resolve } = Promise.withResolvers<ServerHttp2Stream>()
  server.on('stream', (stream: ServerHttp2Stream) => {
    // As grpc-js does, after the listeners of ClientBounds.
    stream.on('aborted', () => undefined)
    stream.once('close', () => resolve(stream))
    stream.respond()
    stream.end()
  })
  server.listen(socket)
  await once(server, 'listening')
  bounds.watch(server)
  t.teardown(() => {
    bounds.end()
    server.close()
  })
  const session = await http2Session(t, socket)
  session.request(HEADERS).resume().end()
  const stream = await closed
  await eventually('the listeners are removed', () => stream.listenerCount('aborted') === 0)
  t.strictSame(stream.eventNames(), ['error'])
  t.ok(stream.emit('error', new Error('late')), 'a late error ends nothing')
})
