import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { TcpProxy } from './tcp-proxy.ts'

type Setup = { proxy: TcpProxy; get: (timeoutMs?: number) => Promise<string>; served: () => number }

/** A real server that answers 10,000 bytes, a proxy before it, a client that keeps its connection. */
async function setup(t: Test): Promise<Setup> {
  let served = 0
  const server = createServer((_request, response) => {
    served += 1
    response.end('x'.repeat(10_000))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await TcpProxy.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const agent = new Agent({ connections: 1 })
  t.teardown(async () => {
    await agent.destroy()
    await proxy.stop()
    server.close()
  })
  const get = async (timeoutMs = 1000): Promise<string> => {
    const signal = AbortSignal.timeout(timeoutMs)
    const answer = await request(proxy.address, { dispatcher: agent, signal })
    return answer.body.text()
  }
  return { proxy, get, served: () => served }
}

void test('passes', async (t) => {
  const { proxy, get } = await setup(t)
  t.equal((await get()).length, 10_000)
  t.equal((await get()).length, 10_000)
  t.equal(proxy.accepted, 1, 'the connection is used again')
  t.equal(proxy.open, 1)
})

void test('refuses connections, and is back at the same address', async (t) => {
  const { proxy, get, served } = await setup(t)
  await get()
  await proxy.refuse()
  await proxy.refuse()
  await t.rejects(get(), 'the connection that was open is gone')
  await t.rejects(get(), { code: 'ECONNREFUSED' })
  t.equal(proxy.open, 0)
  t.equal(served(), 1)
  await proxy.pass()
  t.equal((await get()).length, 10_000)
})

void test('hangs: new and open connections alike, and those never wake up', async (t) => {
  const { proxy, get, served } = await setup(t)
  await get()
  await proxy.hang()
  await t.rejects(get(100), { name: 'TimeoutError' })
  await t.rejects(get(100), { name: 'TimeoutError' })
  t.equal(served(), 1)
  await proxy.pass()
  t.equal((await get()).length, 10_000)
  t.equal(served(), 2, 'what was sent into the silence is never delivered')
})

void test('is slow', async (t) => {
  const { proxy, get } = await setup(t)
  await proxy.slow(80)
  const start = performance.now()
  t.equal((await get()).length, 10_000)
  t.ok(performance.now() - start >= 79)
})

void test('cuts an answer in the middle, after the server has done the work', async (t) => {
  const { proxy, get, served } = await setup(t)
  await get()
  await proxy.cut(500)
  await t.rejects(get())
  await proxy.cut(0)
  await t.rejects(get())
  t.equal(served(), 3)
  await proxy.pass()
  t.equal((await get()).length, 10_000)
})

void test('resets', async (t) => {
  const { proxy, get, served } = await setup(t)
  await proxy.reset()
  await t.rejects(get(), { code: 'ECONNRESET' })
  t.equal(served(), 1)
})

void test('the real server is unreachable', async (t) => {
  const proxy = await TcpProxy.start('http://127.0.0.1:1')
  t.teardown(() => proxy.stop())
  await t.rejects(request(proxy.address))
})
