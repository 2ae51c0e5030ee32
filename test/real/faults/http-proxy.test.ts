import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { HttpProxy } from './http-proxy.ts'

type Asked = { status: number; headers: Record<string, unknown>; body: string }
type Setup = {
  proxy: HttpProxy
  ask: (path: string, body?: string, timeoutMs?: number) => Promise<Asked>
}

async function setup(t: Test): Promise<Setup> {
  const server = createServer((asked, response) => {
    text(asked).then(
      (body) => response.writeHead(201, { 'x-by': 'server' }).end(`${asked.method} ${body}`),
      () => undefined,
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await HttpProxy.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const agent = new Agent({ connections: 1 })
  t.teardown(async () => {
    await agent.destroy()
    await proxy.stop()
    server.close()
  })
  const ask: Setup['ask'] = async (path, body, timeoutMs = 1000) => {
    const answer = await request(`${proxy.address}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      dispatcher: agent,
      signal: AbortSignal.timeout(timeoutMs),
      headers: { 'X-Vault-Token': 'secret-token', 'X-Transit-Bridge-UID': 'u-1' },
      ...(body === undefined ? {} : { body }),
    })
    return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
  }
  return { proxy, ask }
}

void test('passes requests and answers as they are', async (t) => {
  const { proxy, ask } = await setup(t)
  t.match(await ask('/v1/a?x=1', 'hello'), {
    status: 201,
    body: 'POST hello',
    headers: { 'x-by': 'server' },
  })
  await ask('/v1/a')
  t.equal(proxy.count(), 2)
  t.equal(proxy.count('POST'), 1)
  t.equal(proxy.count('POST', '/v1/a'), 1)
  t.equal(proxy.accepted, 1)
})

void test('remembers what was asked and no secret', async (t) => {
  const { proxy, ask } = await setup(t)
  await ask('/v1/a')
  const [seen] = proxy.seen()
  t.match(seen, { method: 'GET', path: '/v1/a', hasToken: true, by: 'server' })
  t.equal(seen?.headers['x-transit-bridge-uid'], 'u-1')
  t.notMatch(JSON.stringify(proxy.seen()), /secret-token/)
  proxy.forget()
  t.same(proxy.seen(), [])
  t.equal(proxy.count(), 0)
})

void test('answers without the server: as often as asked, and only what matches', async (t) => {
  const { proxy, ask } = await setup(t)
  proxy.respond(
    { status: 429, headers: { 'retry-after': '1' }, body: { errors: ['slow down'] } },
    { times: 2, match: (method, path) => method === 'POST' && path.startsWith('/v1/transit/') },
  )
  t.equal((await ask('/v1/transit/a')).status, 201)
  for (let again = 0; again < 2; again += 1) {
    t.match(await ask('/v1/transit/a', '{}'), {
      status: 429,
      headers: { 'retry-after': '1', 'content-type': 'application/json' },
      body: '{"errors":["slow down"]}',
    })
  }
  t.equal((await ask('/v1/transit/a', '{}')).status, 201)
  t.same(
    proxy.seen().map(({ by }) => by),
    ['server', 'test', 'test', 'server'],
  )
  proxy.respond({ status: 503, body: 'not json' })
  t.match(await ask('/'), {
    status: 503,
    body: 'not json',
    headers: { 'content-type': 'text/plain' },
  })
  proxy.clear()
  t.equal((await ask('/')).status, 201)
})

void test('holds and delays', async (t) => {
  const { proxy, ask } = await setup(t)
  proxy.hold({ match: (_method, path) => path === '/login' })
  await t.rejects(ask('/login', '{}', 100), { name: 'TimeoutError' })
  t.equal((await ask('/other')).status, 201)
  proxy.clear()
  proxy.delay(80)
  const start = performance.now()
  t.equal((await ask('/login', '{}')).status, 201)
  t.ok(performance.now() - start >= 79)
})

void test('redirects, and has the answers of the server altered', async (t) => {
  const { proxy, ask } = await setup(t)
  proxy.redirect('http://127.0.0.1:1', { times: 1 })
  t.match(await ask('/v1/a?x=1'), {
    status: 307,
    headers: { location: 'http://127.0.0.1:1/v1/a?x=1' },
  })
  proxy.alter(({ status, headers, body }, response) => {
    response.writeHead(status, { 'x-by': `not ${String(headers['x-by'])}` })
    response.end(body.subarray(0, 4))
  })
  t.match(await ask('/v1/a', 'hello'), {
    status: 201,
    headers: { 'x-by': 'not server' },
    body: 'POST',
  })
  t.same(
    proxy.seen().map(({ by }) => by),
    ['test', 'server'],
  )
})

void test('the real server is unreachable', async (t) => {
  const proxy = await HttpProxy.start('http://127.0.0.1:1')
  t.teardown(() => proxy.stop())
  await t.rejects(request(proxy.address))
})
