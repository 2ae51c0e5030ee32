import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'tap'
import { metricsByRole } from '../../../src/telemetry/metrics/roles.ts'
import { run } from '../../commands/program.ts'
import { freePort } from '../../real/host/port.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const plugin = await fixture.startHealthy({ kms: { refreshInterval: '1s' } })
/** For calls beside many admin clients: on a slow machine the clients of the test itself take most of the time. */
const PATIENT = { timeout: 20_000 }

void test('/livez, /readyz and nothing else', async (t) => {
  t.match(await plugin.admin('/livez'), { status: 200, text: 'ok\n' })
  t.match(await plugin.admin('/readyz'), { status: 200, text: 'ok\n' })
  t.match(await plugin.admin('/debug/pprof'), { status: 404 })
  const { status, text } = await plugin.admin('/readyz', 'application/json')
  t.equal(status, 200)
  t.match(JSON.parse(text), {
    ready: true,
    reason: 'ok',
    message: 'ok',
    details: { keyId: /^tb1-/, keyVersion: 1, vaultTokenExpiresAt: /^20\d\d-/ },
  })
})

void test('/metrics has every metric of the KMS plugin, no other, and shows the work', async (t) => {
  const wrapped = await plugin.client.encrypt(newSeed())
  await Promise.all(Array.from({ length: 8 }, () => plugin.client.decrypt(wrapped)))
  await outcomeOf(plugin.client.decrypt({ ...wrapped, keyId: 'none' }))
  // One rendering serves all scrapes within a second.
  const sample = async (name: string, labels: Record<string, string> = {}) =>
    findSamples((await plugin.admin('/metrics')).text, `transit_bridge_${name}`, labels)[0]?.value
  const count = (method: string, code: string) =>
    sample('kms_request_duration_seconds_count', { method, code })
  await eventually('the calls to be shown', async () => (await count('Decrypt', 'OK')) === 8)
  t.equal(await count('Encrypt', 'OK'), 1)
  t.equal(await count('Decrypt', 'FAILED_PRECONDITION'), 1)
  t.equal(await sample('kms_healthy', { reason: 'ok' }), 1)
  t.equal(await sample('vault_up'), 1)
  t.equal(await sample('key_version'), 1)
  t.equal(await sample('vault_logins_total', { method: 'jwt', outcome: 'ok' }), 1)
  t.ok(Number(await sample('vault_token_expiry_timestamp_seconds')) > Date.now() / 1000)
  t.ok(Number(await sample('identity_token_expiry_timestamp_seconds')) > Date.now() / 1000)
  t.ok(Date.now() / 1000 - Number(await sample('status_snapshot_timestamp_seconds')) < 60)

  const { text } = await plugin.admin('/metrics')
  const described = [...text.matchAll(/^# TYPE (transit_bridge_\w+) /gm)].map(([, name]) => name)
  const expected = Object.values(metricsByRole.kms).map(({ name }) => name)
  t.same(new Set(described), new Set(expected))
  // This Vault has no TLS, its logins work, and kms.localKeys is off.
  const absent = /_certificate_|_ca_|logins_failing|local_keys|sealed_file|offline_until/
  for (const name of expected.filter((each) => !absent.test(each))) {
    const has = [name, `${name}_count`].some((part) => findSamples(text, part).length > 0)
    t.ok(has, `${name} has a value after work`)
  }
})

async function roundTrip(plaintext: Buffer): Promise<Buffer> {
  const { client } = plugin
  return client.decrypt(await client.encrypt(plaintext, PATIENT), PATIENT)
}

void test('hundreds of admin clients that hang do not affect the socket, and are dropped', async (t) => {
  const hanging = Array.from({ length: 400 }, () => {
    const socket = connect(plugin.adminPort, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.on('data', () => undefined)
    // A request that never ends.
    socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ')
    return socket
  })
  const plaintext = newSeed()
  for (let call = 0; call < 50; call += 1) {
    t.match(await plugin.client.status(PATIENT), { healthz: 'ok' })
    t.same(await roundTrip(plaintext), plaintext)
  }
  t.match(await plugin.admin('/livez'), { status: 200 }, 'the next one is let in')
  await eventually('the clients to be dropped', () => hanging.every(({ destroyed }) => destroyed))
  t.ok(plugin.program.running)
})

void test('clients that send calls without reading the answers cannot exhaust the memory', async (t) => {
  const requests = 'GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(3_000)
  const greedy = Array.from({ length: 100 }, () => {
    const socket = connect(plugin.adminPort, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.pause()
    socket.write(requests)
    return socket
  })
  const plaintext = newSeed()
  for (let call = 0; call < 20; call += 1) t.same(await roundTrip(plaintext), plaintext)
  for (const socket of greedy) socket.resume()
  await eventually('the clients to be dropped', () => greedy.every(({ destroyed }) => destroyed))
  t.ok(plugin.program.running)
})

void test('many scrapes at once do not affect the socket', async (t) => {
  const scrapes = Promise.allSettled(Array.from({ length: 100 }, () => plugin.admin('/metrics')))
  for (let call = 0; call < 20; call += 1)
    t.match(await plugin.client.status(PATIENT), { healthz: 'ok' })
  const answers = await scrapes
  t.ok(answers.some((answer) => answer.status === 'fulfilled' && answer.value.status === 200))
  t.match(await plugin.admin('/livez'), { status: 200 })
})

void test('the probe goes through the socket: neither slow connections nor a taken port concern it', async (t) => {
  const port = await freePort()
  const taker = createServer(() => undefined).listen(port, '127.0.0.1')
  await once(taker, 'listening')
  t.teardown(() => taker.close())
  const admin = { listen: `127.0.0.1:${String(port)}` }
  const other = await fixture.startHealthy({ admin })
  const probe = await run(['probe', '--socket', other.socket])
  t.same(probe, { code: 0, stdout: `${other.socket}: ok\n`, stderr: '' })

  other.program.pause()
  const hung = await run(['probe', '--socket', other.socket])
  other.program.resume()
  t.match(hung, { code: 1, stderr: /no server answers at .*kms\.sock/ })
  await other.stop()
  t.match(await run(['probe', '--socket', other.socket]), {
    code: 1,
    stderr: /no server answers at .*kms\.sock \(ENOENT\)/,
  })
})

void test('without admin.listen there is no admin server', async (t) => {
  const closed = await fixture.startHealthy({ admin: { listen: 'none' } })
  await t.rejects(fetch(`http://127.0.0.1:${String(closed.adminPort)}/livez`))
})

fixture.end()
