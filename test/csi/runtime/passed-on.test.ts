import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, end, test, type Test } from 'tap'

import { ByteBudget } from '../../../src/csi/runtime/byte-budget.ts'
import { ConnectionLimit } from '../../../src/csi/runtime/http/connection-limit.ts'
import { toErrorResponse } from '../../../src/csi/runtime/error-response.ts'
import { respond } from '../../../src/csi/runtime/pod-request.ts'
import { VolumeServer } from '../../../src/csi/runtime/http/volume-server.ts'
import { BridgeError } from '../../../src/errors.ts'
import { systemClock } from '../../../src/time/clock.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from './fixture.ts'

const MIB = 1024 * 1024

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)
await vault.makeKey('data')

/** A gateway that sends responses of Transit with 3.9 MiB of spaces, except their last byte, until it is released. */
async function startSlowGateway(t: Test) {
  const released = Promise.withResolvers<void>()
  let waiting = 0
  const gateway = createServer((request, response) => void passOn(request, response))
  async function passOn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    const body = Buffer.concat(await request.toArray())
    const token = String(headers['x-vault-token'] ?? '')
    const answer = await fetch(`${vault.bao.address}${url}`, {
      method,
      headers: { 'X-Vault-Token': token, 'X-Vault-Request': 'true' },
      body: body.length === 0 ? null : body,
    })
    const text = await answer.text()
    response.statusCode = answer.status
    if (!url.startsWith('/v1/transit/')) return void response.end(text)
    response.write(text.trim().slice(0, -1) + ' '.repeat(Math.floor(3.9 * MIB)))
    waiting += 1
    await released.promise
    response.end('}')
  }
  gateway.listen(0, '127.0.0.1')
  await once(gateway, 'listening')
  const { port } = gateway.address() as AddressInfo
  t.teardown(() => {
    gateway.close()
    gateway.closeAllConnections()
  })
  return {
    address: `http://127.0.0.1:${String(port)}`,
    release: () => released.resolve(),
    get waiting() {
      return waiting
    },
  }
}

void test('the bytes of a response count while it arrives, and count no longer when the client has read it', async (t) => {
  const gateway = await startSlowGateway(t)
  const runtime = await startRuntime(vault, { address: gateway.address })
  t.teardown(() => runtime.stop())
  const greedy = await runtime.kubelet.publish(newPod())
  const modest = await runtime.kubelet.publish(newPod())
  const ask = (socket: typeof greedy) =>
    socket.ask('transit/encrypt/data', { body: { plaintext: 'YQ==' } })
  const asked = Array.from({ length: 6 }, () => ask(greedy))
  const early = await Promise.race(asked)
  t.equal(early.status, 429, early.text.slice(0, 200))
  t.equal(early.headers['retry-after'], '1')
  const other = ask(modest)
  await eventually('all responses to arrive', () => gateway.waiting >= 7)
  gateway.release()
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  t.same(new Set(statuses), new Set([200, 429]))
  const answered = statuses.filter((status) => status === 200).length
  t.ok(answered === 3 || answered === 4, `${String(answered)} of 3.9 MiB fit in half of 32 MiB`)
  t.equal((await other).status, 200, 'one volume leaves room for another')
  const again = await Promise.all(Array.from({ length: 3 }, () => ask(greedy)))
  t.same(
    again.map(({ status }) => status),
    [200, 200, 200],
  )
})

void test("Vault's Retry-After is passed on, within a minute", async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const socket = await runtime.kubelet.publish(newPod())
  await vault.bao.api('POST', 'sys/quotas/config', { enable_rate_limit_response_headers: true })
  const quota = { path: 'transit/', rate: 1, interval: '45s' }
  await vault.bao.api('POST', 'sys/quotas/rate-limit/few', quota)
  t.teardown(() => vault.bao.api('DELETE', 'sys/quotas/rate-limit/few'))
  const ask = () => socket.ask('transit/hash', { body: { input: 'YQ==' } })
  await ask()
  const limited = await ask()
  t.equal(limited.status, 429, limited.text)
  const seconds = Number(limited.headers['retry-after'])
  t.ok(seconds > 1 && seconds <= 45, `after ${String(seconds)} s`)
  const waitFor = (retryAfterMs?: number) =>
    toErrorResponse(new BridgeError('VAULT_RATE_LIMITED', '', { retryAfterMs })).retryAfterSeconds
  t.same([waitFor(), waitFor(0), waitFor(1_500), waitFor(3_600_000)], [1, 1, 2, 60])
})

void test('a body for which there is no room gets a response with Retry-After', async (t) => {
  const budget = new ByteBudget()
  for (const mebibytes of [16, 8, 4, 2])
    budget
      .share()
      .hold()
      .set(mebibytes * MIB)
  const path = join(tempFolder('rt'), 's')
  const answer = () => Promise.resolve(respond(200, {}))
  const server = new VolumeServer(answer, budget, new ConnectionLimit(), systemClock)
  await server.listen(path)
  t.teardown(() => server.end())
  const connection = connect(path).on('error', () => undefined)
  const head = `POST /v1/transit/hash HTTP/1.1\r\nHost: v\r\nContent-Length: ${String(2 * MIB)}\r\n\r\n`
  connection.write(head + 'a'.repeat(2 * MIB))
  const [text] = (await once(connection, 'data')) as [Buffer]
  t.match(text.toString(), /^HTTP\/1\.1 429 [^]*^Retry-After: 1\r$/m)
  connection.destroy()
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
