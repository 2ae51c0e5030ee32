import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { gate, grpcFixture } from './fixture.ts'

const seed = Buffer.alloc(32, 7)

async function open(path: string): Promise<Socket> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
  } catch (error) {
    // The backlog is full for a moment, as the server shares this event loop.
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    await setImmediate()
    return open(path)
  }
  socket.on('error', () => undefined)
  return socket
}

/** An HTTP/2 session on the socket, as a careless client would have one. */
function http2Session(path: string) {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) })
  session.on('error', () => undefined)
  return session
}

const HEADERS = {
  ':method': 'POST',
  ':path': '/v2.KeyManagementService/Encrypt',
  'content-type': 'application/grpc',
  te: 'trailers',
}

/** HTTP/2's preface (RFC 9113 §3.4) and an empty SETTINGS frame. */
const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), encodeFrame(4)])

/** A frame (RFC 9113 §4.1). */
function encodeFrame(
  type: number,
  flags = 0,
  stream = 0,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** 20,000 equal frames after others, on a connection whose client reads nothing. */
function flood(each: Buffer, ...first: readonly Buffer[]): Buffer {
  return Buffer.concat([PREFACE, ...first, ...Array<Buffer>(20_000).fill(each)])
}

/** The header block `:method: POST`, `:path: /` (RFC 7541, appendix A). */
const BLOCK = Buffer.from([0x83, 0x84])
/** HEADERS that CONTINUATION must follow. */
const UNFINISHED = encodeFrame(1, 0, 1, BLOCK)
const OPEN = encodeFrame(1, 4, 1, BLOCK)

const GARBAGE: readonly (readonly [string, Buffer])[] = [
  ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a TLS hello', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03])],
  ['zeros', Buffer.alloc(64 * 1024)],
  ['random bytes', randomBytes(64 * 1024)],
  ['a preface and random bytes', Buffer.concat([PREFACE, randomBytes(4_096)])],
  [
    'a preface and a frame of 16 MiB that never comes',
    Buffer.concat([PREFACE, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])]),
  ],
  ['20,000 PING frames', flood(encodeFrame(6, 0, 0, Buffer.alloc(8)))],
  ['20,000 SETTINGS frames', flood(encodeFrame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff])))],
  ['20,000 CONTINUATION frames', flood(encodeFrame(9, 0, 1, BLOCK), UNFINISHED)],
  ['20,000 empty CONTINUATION frames', flood(encodeFrame(9, 0, 1), UNFINISHED)],
  ['20,000 empty DATA frames', flood(encodeFrame(0, 0, 1), OPEN)],
  ['20,000 frames of an unknown type', flood(encodeFrame(0x77, 0, 0, Buffer.alloc(100)))],
]

for (const [what, bytes] of GARBAGE) {
  void test(`a client that sends ${what} does not stop the next one`, async (t) => {
    const { socket, client, stop } = await grpcFixture()
    t.teardown(stop)
    const garbage = await open(socket)
    t.teardown(() => void garbage.destroy())
    garbage.write(bytes)
    t.match(await client.encrypt(seed), { keyId: 'k' })
    garbage.destroy()
    t.match(await client.status(), { healthz: 'ok' })
  })
}

void test('1000 connections that say nothing do not stop the next caller', async (t) => {
  const { socket, client, stop } = await grpcFixture()
  t.teardown(stop)
  const silent: Socket[] = []
  t.teardown(() => silent.forEach((each) => void each.destroy()))
  for (let batch = 0; batch < 10; batch += 1) {
    silent.push(...(await Promise.all(Array.from({ length: 100 }, () => open(socket)))))
  }
  t.match(await client.encrypt(seed), { keyId: 'k' })
  for (const each of silent) each.destroy()
  t.match(await client.status(), { healthz: 'ok' })
})

void test('a client that sends 16 KiB of headers is dropped, and the next one is answered', async (t) => {
  const { socket, client, stop } = await grpcFixture()
  t.teardown(stop)
  const session = http2Session(socket)
  const headers = { ...HEADERS, 'x-large': 'x'.repeat(16 * 1024) }
  session.request(headers, { endStream: false }).on('error', () => undefined)
  await once(session, 'close')
  t.match(await client.encrypt(seed), { keyId: 'k' })
})

void test('streams that never send their message do not stop the next caller, nor count as calls', async (t) => {
  const counts: number[] = []
  const fixture = await grpcFixture(
    {
      encrypt: ({ plaintext }) => {
        counts.push(fixture.funnel.callsInFlight)
        return Promise.resolve(Buffer.from(plaintext))
      },
    },
    { maxInFlight: 4 },
  )
  const { socket, client, stop } = fixture
  t.teardown(stop)
  const session = http2Session(socket)
  for (let count = 0; count < 500; count += 1) {
    const stream = session.request(HEADERS, { endStream: false })
    stream.on('error', () => undefined)
    if (count % 2 === 0) stream.write(Buffer.from([0, 0, 0, 1]))
  }
  await new Promise((resolve) => session.ping(resolve))
  t.match(await client.encrypt(seed), { keyId: 'k' })
  session.destroy()
  t.match(await client.encrypt(seed), { keyId: 'k' })
  t.same(counts, [1, 1])
})

void test('streams that are reset at once, thousands of them, do not stop the next caller', async (t) => {
  const { socket, client, stop } = await grpcFixture()
  t.teardown(stop)
  const session = http2Session(socket)
  for (let count = 0; count < 2_000; count += 1) {
    const stream = session.request(HEADERS, { endStream: false })
    stream.on('error', () => undefined)
    stream.close(8)
  }
  t.match(await client.encrypt(seed), { keyId: 'k' })
  session.destroy()
  t.match(await client.status(), { healthz: 'ok' })
})

void test('a client that never reads its answers does not stop the next one', async (t) => {
  const { socket, client, stop } = await grpcFixture()
  t.teardown(stop)
  const session = http2Session(socket)
  const message = Buffer.concat([Buffer.from([0x0a, 32]), seed])
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message])
  for (let count = 0; count < 200; count += 1) {
    const stream = session.request(HEADERS)
    stream.on('error', () => undefined)
    stream.pause()
    stream.end(frame)
  }
  t.match(await client.encrypt(seed), { keyId: 'k' })
  session.destroy()
  t.match(await client.encrypt(seed), { keyId: 'k' })
})

void test('a call whose client vanishes is aborted and leaves nothing in flight', async (t) => {
  const arrived = gate()
  const ended = gate()
  const { socket, client, stop, funnel } = await grpcFixture({
    encrypt: async (_request, { signal }) => {
      signal?.addEventListener('abort', ended.open)
      arrived.open()
      await ended.opened
      return Buffer.from('late')
    },
  })
  t.teardown(stop)
  const session = http2Session(socket)
  const stream = session.request(HEADERS)
  stream.on('error', () => undefined)
  stream.end(Buffer.alloc(5))
  await arrived.opened
  session.destroy()
  await ended.opened
  t.match(await client.status(), { healthz: 'ok' })
  t.equal(funnel.callsInFlight, 0)
})
