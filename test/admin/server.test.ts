import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { request } from 'undici'
import { test } from 'tap'
import { startAdminServer } from '../../src/admin/server.ts'
import { systemClock } from '../../src/time/clock.ts'
import { HandClock } from '../fakes/clock.ts'
import { memoryLog } from '../fakes/log.ts'
import { eventually } from '../real/host/eventually.ts'

const sources = {
  isServing: () => true,
  readiness: () => ({ ready: true, reason: 'ok', message: 'ok', details: {} }),
  renderMetrics: async () => ({ contentType: 'text/plain', body: Buffer.from('up 1\n') }),
}

async function adminFixture(port = 0, host = '127.0.0.1') {
  const clock = new HandClock()
  const { log, lines } = memoryLog()
  const admin = startAdminServer({ listen: { host, port }, sources, clock, log })
  if (port === 0) await eventually('the port', () => admin.port !== undefined)
  return { admin, clock, lines, url: () => `http://127.0.0.1:${String(admin.port)}` }
}

async function statusOf(url: string): Promise<number> {
  const { statusCode, body } = await request(url, { reset: true })
  await body.dump()
  return statusCode
}

/** A connection that sends `text` and nothing more; resolves when the server ends it. */
async function hang(port: number, text: string): Promise<number> {
  const startedAt = systemClock.monotonic()
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(text)
  socket.resume()
  await once(socket, 'close')
  return systemClock.monotonic() - startedAt
}

void test('the host * listens on the addresses of IPv4 and IPv6', async (t) => {
  const { admin } = await adminFixture(0, '*')
  for (const host of ['127.0.0.1', '[::1]'])
    t.equal(await statusOf(`http://${host}:${String(admin.port)}/livez`), 200, host)
  await admin.stop()
})

void test('it serves until it is stopped', async (t) => {
  const { admin, url } = await adminFixture()
  t.equal(await statusOf(`${url()}/livez`), 200)
  const address = url()
  await admin.stop()
  t.equal(admin.port, undefined)
  await t.rejects(statusOf(`${address}/livez`), { code: 'ECONNREFUSED' })
})

void test('clients that hang are dropped, and do not hold up others', async (t) => {
  const { admin, url } = await adminFixture()
  t.teardown(() => admin.stop())
  const port = admin.port ?? 0
  const hanging = [
    hang(port, 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: '),
    hang(port, 'GET /li'),
    hang(port, 'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc'),
  ]
  t.equal(await statusOf(`${url()}/livez`), 200)
  for (const milliseconds of await Promise.all(hanging)) {
    t.ok(milliseconds < 15_000, `dropped after ${Math.round(milliseconds)} ms`)
  }
})

void test('slow connections never keep the next one out: the oldest is closed', async (t) => {
  const { admin, url } = await adminFixture()
  t.teardown(() => admin.stop())
  const sockets: Socket[] = []
  for (let count = 0; count < 128; count += 1) {
    const socket = connect(admin.port ?? 0, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.resume()
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    sockets.push(socket)
  }
  t.equal(await statusOf(`${url()}/livez`), 200)
  await eventually('the end of the first socket', () => sockets[0]?.destroyed === true)
  t.notOk(sockets.at(-1)?.destroyed)
})

void test('a client that asks before it has read the last answer is dropped', async (t) => {
  const { admin } = await adminFixture()
  t.teardown(() => admin.stop())
  const socket = connect(admin.port ?? 0, '127.0.0.1')
  socket.on('error', () => undefined)
  let text = ''
  socket.on('data', (chunk) => (text += String(chunk)))
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100))
  await once(socket, 'close')
  t.ok(text.split('up 1').length <= 2, 'at most one answer')
})

void test('a connection that waits for each answer is kept', async (t) => {
  const { admin } = await adminFixture()
  t.teardown(() => admin.stop())
  const socket = connect(admin.port ?? 0, '127.0.0.1')
  t.teardown(() => socket.destroy())
  for (let count = 0; count < 50; count += 1) {
    socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    t.match(String(chunk), /^HTTP\/1.1 200 [^]*ok\n$/)
  }
})

void test('a port that is taken is logged and tried again, never fatal', async (t) => {
  const taker = createServer().listen(0, '127.0.0.1')
  await once(taker, 'listening')
  const { port } = taker.address() as AddressInfo
  const { admin, clock, lines, url } = await adminFixture(port)
  await eventually('a log line', () => lines.length === 1)
  t.match(lines, [
    {
      level: 'error',
      msg: `admin.listen: cannot listen on 127.0.0.1:${port} (EADDRINUSE); trying again`,
    },
  ])
  t.equal(admin.port, undefined)
  await clock.advance(15_000)
  await eventually('a second log line', () => lines.length === 2)
  taker.close()
  await once(taker, 'close')
  await clock.advance(15_000)
  await eventually('the port', () => admin.port !== undefined)
  t.equal(await statusOf(`${url()}/livez`), 200)
  await admin.stop()
  t.equal(clock.pending, 0)
})

void test('a stop ends the wait for the port', async (t) => {
  const taker = createServer().listen(0, '127.0.0.1')
  await once(taker, 'listening')
  const { port } = taker.address() as AddressInfo
  const { admin, clock, lines } = await adminFixture(port)
  await eventually('a log line', () => lines.length === 1)
  await admin.stop()
  t.equal(clock.pending, 0)
  taker.close()
})

void test('a stop before the port could be asked for leaves nothing behind', async (t) => {
  const taker = createServer().listen(0, '127.0.0.1')
  await once(taker, 'listening')
  const { port } = taker.address() as AddressInfo
  const { admin, clock } = await adminFixture(port)
  await admin.stop()
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  t.equal(clock.pending, 0)
  taker.close()
})
