import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { end, test, type Test } from 'tap'

import { ByteBudget } from '../../../../src/csi/runtime/byte-budget.ts'
import { ConnectionLimit } from '../../../../src/csi/runtime/http/connection-limit.ts'
import { PacedConnection } from '../../../../src/csi/runtime/http/paced-connection.ts'
import { VolumeServer, type RequestGuard } from '../../../../src/csi/runtime/http/volume-server.ts'
import { respond, type PodRequest } from '../../../../src/csi/runtime/pod-request.ts'
import { BridgeError } from '../../../../src/errors.ts'
import { systemClock } from '../../../../src/time/clock.ts'
import { eventually } from '../../../real/host/eventually.ts'
import { tempFolder } from '../../../real/host/temp-folder.ts'

type Served = {
  readonly path: string
  /** The targets of the requests that were answered. */
  readonly targets: readonly string[]
}

/** Answers each request with its target and the number of bytes of its body, after `answers` has resolved. */
async function startServer(
  t: Test,
  answers: Promise<void> = Promise.resolve(),
  guard?: RequestGuard,
): Promise<Served> {
  const path = join(tempFolder('vs'), 's')
  const targets: string[] = []
  const answer = async ({ target, body }: PodRequest) => {
    targets.push(target)
    const bytes = body.length
    await answers
    return respond(200, { target, bytes })
  }
  const limit = new ConnectionLimit()
  const server = new VolumeServer(answer, new ByteBudget(), limit, systemClock, guard)
  await server.listen(path)
  t.teardown(() => server.end())
  return { path, targets }
}

/** What a server sends until it closes the connection. */
async function readAll(connection: Socket): Promise<string> {
  let text = ''
  connection.on('error', () => undefined)
  connection.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  // Bytes that the server did not read reset the connection.
  await new Promise((resolve) => connection.once('close', resolve))
  return text
}

const get = (target: string) => `GET ${target} HTTP/1.1\r\n\r\n`

void test('thousands of requests in one packet: the first one is answered, and the connection closes', async (t) => {
  const { path, targets } = await startServer(t)
  const connection = connect(path)
  connection.write(get('/first') + get('/').repeat(10_000))
  const text = await readAll(connection)
  t.same(targets, ['/first'])
  t.equal(text.split('HTTP/1.1 200').length, 2, text.slice(0, 500))
  t.match(text, /Connection: close/i)
})

for (const [name, next] of Object.entries({
  'another request': get('/second'),
  'a LIST': 'LIST /v1/transit/keys HTTP/1.1\r\n\r\n',
  'no request at all': 'nonsense\r\n\r\n',
  'a CONNECT': 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  'an upgrade': 'GET /second HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  'a request with an unknown expectation': 'GET /second HTTP/1.1\r\nExpect: x\r\n\r\n',
})) {
  void test(`${name} behind a request that is in progress: the client never reads its response as that of the first`, async (t) => {
    const answers = Promise.withResolvers<void>()
    const { path, targets } = await startServer(t, answers.promise)
    const connection = connect(path)
    connection.write(get('/first') + next)
    const reading = readAll(connection)
    // The server has read both when it answers the first request of a connection that opened later.
    const later = connect(path)
    later.write(get('/later'))
    while (targets.length < 2) await new Promise((resolve) => setImmediate(resolve))
    later.destroy()
    answers.resolve()
    const text = await reading
    t.equal(text.split('HTTP/1.1').length, 2, text)
    t.match(text, '"/first"')
    t.same(targets, ['/first', '/later'])
  })
}

void test('requests one after the other use the same connection, whatever their length', async (t) => {
  const { path } = await startServer(t)
  const connection = connect(path)
  for (const bytes of [0, 1, 3_000, 2 * 1024 * 1024, 5]) {
    const head = `POST /${String(bytes)} HTTP/1.1\r\nContent-Length: ${String(bytes)}\r\n\r\n`
    connection.write(head + 'a'.repeat(bytes))
    const [text] = (await once(connection, 'data')) as [Buffer]
    t.match(text.toString(), `"bytes":${String(bytes)}}`)
  }
  connection.destroy()
})

void test('a client that ends its side after the request gets its response', async (t) => {
  const { path } = await startServer(t)
  const connection = connect({ path, allowHalfOpen: true })
  connection.end(get('/last'))
  t.match(await readAll(connection), '"/last"')
})

void test('a body in very many short pieces is refused before all of them are read', async (t) => {
  const { path, targets } = await startServer(t)
  const connection = connect(path)
  connection.write(
    `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(2_000)}`,
  )
  t.match(await readAll(connection), /^HTTP\/1\.1 400 [^]*too many short pieces/)
  t.same(targets, [])
})

const OVER = new BridgeError('OVERLOADED', 'too many requests')

for (const [name, [request, status]] of Object.entries({
  'with a body that is too large': ['POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n', 413],
  'with a body in very many short pieces': [
    `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(2_000)}`,
    400,
  ],
  'with a malformed body': [
    'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n',
    400,
  ],
  'that is malformed': ['nonsense\r\n\r\n', 400],
  'with an unknown expectation': ['GET / HTTP/1.1\r\nExpect: x\r\n\r\n', 417],
  'to connect': ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  'for an upgrade': ['GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n', 400],
} as const)) {
  void test(`a request ${name} counts once, toward the limit and in the metric`, async (t) => {
    const refused: number[] = []
    let admitted = 0
    const { path, targets } = await startServer(t, undefined, {
      admit: () => void (admitted += 1),
      refused: (response) => void refused.push(response.status),
    })
    const connection = connect(path)
    connection.write(request)
    await readAll(connection)
    await eventually('the request to be counted', () => refused.length > 0)
    t.equal(admitted, 1)
    t.same(refused, [status])
    t.same(targets, [])
  })
}

for (const [name, request] of Object.entries({
  'a request': 'POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n',
  'a LIST': 'LIST /v1/transit/keys HTTP/1.1\r\n\r\n',
  'a malformed request': 'nonsense\r\n\r\n',
})) {
  void test(`${name} above the limit is refused before its body arrives`, async (t) => {
    const refused: number[] = []
    const { path, targets } = await startServer(t, undefined, {
      admit: () => {
        throw OVER
      },
      refused: (response) => void refused.push(response.status),
    })
    const connection = connect(path)
    connection.write(request)
    t.match(await readAll(connection), /^HTTP\/1\.1 429 [^]*too many requests/)
    t.same(refused, [429])
    t.same(targets, [])
  })
}

void test('a body in a few hundred short pieces is read', async (t) => {
  const { path } = await startServer(t)
  const connection = connect(path)
  connection.write(
    `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${'1\r\na\r\n'.repeat(900)}0\r\n\r\n`,
  )
  t.match(await readAll(connection), '"bytes":900}')
})

/** A connection as a server accepts it, and its other end. */
async function connectPair(t: Test): Promise<{ paced: PacedConnection; client: Socket }> {
  const path = join(tempFolder('pc'), 's')
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  server.listen(path)
  const client = connect(path)
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  return { paced: new PacedConnection(socket), client }
}

void test('a large packet reaches the parser in slices, and other work runs in between', async (t) => {
  const { paced, client } = await connectPair(t)
  let turns = 0
  let isOver = false
  const turn = () => {
    turns += 1
    if (!isOver) setImmediate(turn)
  }
  turn()
  const sizes: number[] = []
  const turnsOfSlices = new Set<number>()
  paced.on('data', (slice: Buffer) => {
    sizes.push(slice.length)
    turnsOfSlices.add(turns)
  })
  client.end(Buffer.alloc(64 * 1024, 'a'))
  await once(paced, 'end')
  isOver = true
  t.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    64 * 1024,
  )
  t.ok(Math.max(...sizes) <= 2 * 1024)
  t.equal(turnsOfSlices.size, sizes.length, 'one slice in each turn')
})

void test('the bytes of a slice are zeroed after the parser has read them', async (t) => {
  const { paced, client } = await connectPair(t)
  const slices: Buffer[] = []
  paced.on('data', (slice: Buffer) => slices.push(slice))
  client.end('a plaintext')
  await once(paced, 'end')
  t.ok(Buffer.concat(slices).every((byte) => byte === 0))
})

void test('an idle connection is reported, so that the HTTP server closes it', async (t) => {
  const { paced } = await connectPair(t)
  paced.setTimeout(1)
  await once(paced, 'timeout')
  t.pass('it was reported')
})

// Explicit, because the open sockets keep tap waiting for more tests.
end()
