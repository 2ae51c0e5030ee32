import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import { join } from 'node:path'
import { after, end, test } from 'tap'

import { FairGate } from '../../../src/csi/fair-gate.ts'
import { RateLimit } from '../../../src/csi/runtime/rate-limit.ts'
import { ByteBudget } from '../../../src/csi/runtime/byte-budget.ts'
import {
  ConnectionLimit,
  type VolumeConnections,
} from '../../../src/csi/runtime/http/connection-limit.ts'
import { readBody } from '../../../src/csi/runtime/http/request-body.ts'
import { VolumeServer } from '../../../src/csi/runtime/http/volume-server.ts'
import { HandClock } from '../../fakes/clock.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import { failure } from '../fixture.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from './fixture.ts'

const MIB = 1024 * 1024
const still = new HandClock()
const context = { deadline: still.monotonic() + 20_000 }

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)

void test('volumes take turns: a long queue of one does not delay another', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 10, clock: still })
  const order: string[] = []
  const first = Promise.withResolvers<void>()
  const work = [gate.run('greedy', () => first.promise, context)]
  const note = (name: string) => async () => void order.push(name)
  for (const name of ['g1', 'g2', 'g3']) work.push(gate.run('greedy', note(name), context))
  work.push(gate.run('modest', note('m1'), context))
  first.resolve()
  await Promise.all(work)
  t.same(order, ['g1', 'm1', 'g2', 'g3'])
  t.equal(gate.running, 0)
})

void test('one volume has a bounded number of requests in progress', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 2, clock: still })
  const first = Promise.withResolvers<void>()
  const work = [
    gate.run('a', () => first.promise, context),
    gate.run('a', async () => undefined, context),
  ]
  t.match(await failure(gate.run('a', async () => undefined, context)), { code: 'OVERLOADED' })
  const other = gate.run('b', async () => undefined, context)
  first.resolve()
  await Promise.all([...work, other])
  await gate.run('a', async () => undefined, context)
  t.pass('there is room again')
})

void test('work that fails also frees its slot', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 1, clock: still })
  await t.rejects(gate.run('a', () => Promise.reject(new Error('failed')), context))
  await gate.run('a', async () => undefined, context)
  t.equal(gate.running, 0)
})

void test('a volume can send a limited number of requests per second', async (t) => {
  const clock = new HandClock()
  const limit = new RateLimit(2, clock)
  t.same([limit.take(), limit.take(), limit.take()], [true, true, false])
  await clock.advance(500)
  t.same([limit.take(), limit.take()], [true, false])
  await clock.advance(3_600_000)
  t.same([limit.take(), limit.take(), limit.take()], [true, true, false])
})

void test('bytes of all volumes together are bounded, and one volume cannot use the share of another', (t) => {
  const budget = new ByteBudget()
  const greedy = budget.share().hold()
  const modest = budget.share()
  const [first, second] = [modest.hold(), modest.hold()]
  greedy.set(16 * MIB)
  t.throws(() => greedy.set(16 * MIB + 1), { code: 'OVERLOADED' })
  first.set(8 * MIB)
  t.throws(() => second.set(1), { code: 'OVERLOADED' })
  greedy.set(8 * MIB)
  second.set(MIB)
  t.end()
})

void test('work whose deadline passes while it waits fails at the deadline, not at its turn', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 2, clock: still })
  const slow = Promise.withResolvers<void>()
  const running = gate.run('a', () => slow.promise, context)
  const late = failure(
    gate.run('b', () => Promise.reject(new Error('it ran')), {
      deadline: still.monotonic() + 1_000,
    }),
  )
  await still.advance(1_000)
  t.match(await late, { code: 'DEADLINE_EXCEEDED' })
  slow.resolve()
  await running
  t.equal(gate.running, 0)
})

void test('slow work of one volume leaves places for others', async (t) => {
  const gate = new FairGate({ maxRunning: 4, maxPerOwner: 10, clock: still })
  const slow = Promise.withResolvers<void>()
  const work = [1, 2, 3, 4].map(() => gate.run('greedy', () => slow.promise, context))
  t.equal(gate.running, 2)
  await gate.run('modest', async () => undefined, context)
  slow.resolve()
  await Promise.all(work)
  t.equal(gate.running, 0)
})

void test('a request whose client has gone does not wait for its turn', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 2, clock: still })
  const slow = Promise.withResolvers<void>()
  const running = gate.run('a', () => slow.promise, context)
  const client = new AbortController()
  const gone = failure(
    gate.run('a', () => Promise.reject(new Error('it ran')), { ...context, signal: client.signal }),
  )
  client.abort()
  t.match(await gone, { code: 'CANCELLED' })
  const next = gate.run('a', async () => 'ran', context)
  slow.resolve()
  t.equal(await next, 'ran')
  await running
  t.match(
    await failure(gate.run('a', async () => undefined, { ...context, signal: client.signal })),
    { code: 'CANCELLED' },
  )
  t.equal(gate.running, 0)
})

void test('connections that arrive in one turn of the event loop are bounded, too', (t) => {
  const limit = new ConnectionLimit()
  const own: VolumeConnections = new Set()
  const connections = Array.from({ length: 200 }, () => new Socket())
  for (const connection of connections) limit.add(connection, own)
  t.equal(connections.filter(({ destroyed }) => !destroyed).length, 64)
  t.equal(own.size, 64)
  t.end()
})

void test('chunks of a body are not kept, because each takes much more memory than its bytes', async (t) => {
  const sent: Buffer[] = []
  const source = {
    headers: {},
    async *[Symbol.asyncIterator]() {
      for (const text of ['{', '"a', '":1}']) {
        t.ok(sent.every((chunk) => chunk.every((byte) => byte === 0)))
        sent.push(Buffer.from(text))
        yield sent.at(-1) ?? Buffer.alloc(0)
      }
    },
  }
  const body = await readBody(source, new ByteBudget().share().hold())
  t.equal(body.bytes.toString(), '{"a":1}')
  const { bytes } = body
  body.release()
  t.ok(bytes.every((byte) => byte === 0))
})

/** A server whose responses have 4 MiB. */
async function startServer(clock: HandClock) {
  const path = join(tempFolder('rt'), 's')
  const answer = () => Promise.resolve({ status: 200, body: Buffer.alloc(4 * MIB, 'a') })
  const budget = new ByteBudget()
  const server = new VolumeServer(answer, budget, new ConnectionLimit(), clock)
  await server.listen(path)
  return { path, server, budget }
}

void test('responses that a client does not read are bounded in bytes and time', async (t) => {
  const clock = new HandClock()
  const { path, server } = await startServer(clock)
  t.teardown(() => server.end())
  const statuses: string[] = []
  const unread: Socket[] = []
  t.teardown(() => unread.forEach((connection) => connection.destroy()))
  for (let count = 0; count < 6; count += 1) {
    const connection = connect(path).on('error', () => undefined)
    unread.push(connection)
    connection.write('GET /v1/sys/health HTTP/1.1\r\nHost: v\r\n\r\n')
    await once(connection, 'readable')
    statuses.push((connection.read(12) as Buffer).toString())
  }
  t.same(statuses, [
    ...Array<string>(4).fill('HTTP/1.1 200'),
    ...Array<string>(2).fill('HTTP/1.1 429'),
  ])
  await clock.advance(30_000)
  const [first] = unread
  first?.resume()
  await once(first ?? new Socket(), 'close')
  t.ok((first?.bytesRead ?? Infinity) < 4 * MIB, 'the rest is never sent')
})

void test('a response releases its bytes when its connection closes', async (t) => {
  const { path, server, budget } = await startServer(new HandClock())
  t.teardown(() => server.end())
  const connection = connect(path).on('error', () => undefined)
  connection.write('GET /v1/sys/health HTTP/1.1\r\nHost: v\r\n\r\n')
  await once(connection, 'readable')
  const other = budget.share().hold()
  t.throws(() => other.set(16 * MIB), { code: 'OVERLOADED' })
  connection.destroy()
  await eventually('all bytes to be free', () => {
    try {
      other.set(16 * MIB)
      return true
    } catch {
      return false
    }
  })
  t.throws(() => other.set(16 * MIB + 1), { code: 'OVERLOADED' }, 'no bytes are given back twice')
})

void test('a client that disconnects after CONNECT or an upgrade does not end the driver', async (t) => {
  const { path, server } = await startServer(new HandClock())
  t.teardown(() => server.end())
  const requests = [
    'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'LIST /v1/transit/keys HTTP/1.1\r\nHost: a\r\n\r\n',
    'nonsense',
  ]
  for (let round = 0; round < 20; round += 1) {
    for (const request of requests) {
      const connection = connect(path)
      connection.write(request, () => connection.destroy())
      await once(connection, 'close')
    }
  }
  const connection = connect(path)
  connection.write('HEAD /v1/sys/health HTTP/1.0\r\n\r\n')
  await once(connection, 'data')
  t.pass('it still answers')
})

void test('a pod that opens connections without end loses its oldest, and another pod connects', async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const greedy = await runtime.kubelet.publish(newPod())
  const modest = await runtime.kubelet.publish(newPod())
  const connections: Socket[] = []
  t.teardown(() => connections.forEach((connection) => connection.destroy()))
  let closed = 0
  for (let count = 0; count < 70; count += 1) {
    const connection = connect(greedy.path)
    connection.on('error', () => undefined).on('close', () => (closed += 1))
    connections.push(connection)
    await new Promise((resolve) => connection.once('connect', resolve))
  }
  await eventually('the oldest to be closed', () => closed >= 6)
  t.equal((await modest.ask('transit/random', { body: {} })).status, 200)
  t.equal((await greedy.ask('transit/random', { body: {} })).status, 200)
})

void test('a client that sends its body slowly does not delay others', async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const socket = await runtime.kubelet.publish(newPod())
  const slow = connect(socket.path)
  t.teardown(() => void slow.destroy())
  slow.write('POST /v1/transit/hash HTTP/1.1\r\nHost: v\r\nContent-Length: 100\r\n\r\n{')
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
