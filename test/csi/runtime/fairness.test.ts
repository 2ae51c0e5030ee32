import { connect, type Socket } from 'node:net'
import { after, end, test } from 'tap'

import { FairGate } from '../../../src/csi/runtime/fair-gate.ts'
import { RateLimit } from '../../../src/csi/runtime/rate-limit.ts'
import { BodyBudget } from '../../../src/csi/runtime/request-body.ts'
import { HandClock } from '../../fakes/clock.ts'
import { eventually } from '../../real/host/eventually.ts'
import { failure } from '../fixture.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)

void test('volumes take turns: a long queue of one does not delay another', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 10 })
  const order: string[] = []
  const first = Promise.withResolvers<void>()
  const work = [gate.run('greedy', () => first.promise)]
  const note = (name: string) => async () => void order.push(name)
  for (const name of ['g1', 'g2', 'g3']) work.push(gate.run('greedy', note(name)))
  work.push(gate.run('modest', note('m1')))
  first.resolve()
  await Promise.all(work)
  t.same(order, ['g1', 'm1', 'g2', 'g3'])
  t.equal(gate.running, 0)
})

void test('one volume has a bounded number of requests in progress', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 2 })
  const first = Promise.withResolvers<void>()
  const work = [gate.run('a', () => first.promise), gate.run('a', async () => undefined)]
  t.match(await failure(gate.run('a', async () => undefined)), { code: 'OVERLOADED' })
  const other = gate.run('b', async () => undefined)
  first.resolve()
  await Promise.all([...work, other])
  await gate.run('a', async () => undefined)
  t.pass('there is room again')
})

void test('work that fails also frees its slot', async (t) => {
  const gate = new FairGate({ maxRunning: 1, maxPerOwner: 1 })
  await t.rejects(gate.run('a', () => Promise.reject(new Error('failed'))))
  await gate.run('a', async () => undefined)
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

void test('bodies of all volumes together are bounded', (t) => {
  const budget = new BodyBudget()
  budget.take(32 * 1024 * 1024)
  t.throws(() => budget.take(1), { code: 'OVERLOADED' })
  budget.give(1)
  budget.take(1)
  t.end()
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
