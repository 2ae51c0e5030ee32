import { test } from 'tap'
import { freePort } from '../../real/host/port.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture
const KMS = { refreshInterval: '1s', outageGrace: '0s' }

void test('the first address is dead: the second is used, and kept', async (t) => {
  const [first, second] = await Promise.all([fixture.tcpProxy(), fixture.httpProxy()])
  await first.refuse()
  const plugin = await fixture.startHealthy({ address: [first.address, second.address], kms: KMS })
  await first.pass()
  const before = second.count()
  for (let call = 0; call < 20; call += 1) await plugin.client.encrypt(newSeed())
  t.ok(second.count() - before >= 20)
  t.equal(first.accepted, 0, 'that the first is back changes nothing')
  await plugin.stop()
})

void test('an address that dies is left within the call, and healthz stays "ok"', async (t) => {
  const [first, second] = await Promise.all([fixture.tcpProxy(), fixture.tcpProxy()])
  const plugin = await fixture.startHealthy({
    address: [first.address, second.address],
    kms: KMS,
    vault: { timeout: '500ms' },
  })
  for (const [name, fail] of [
    ['refuses', () => first.refuse()],
    ['hangs', () => second.hang()],
  ] as const) {
    await fail()
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' }, name)
    t.equal((await plugin.client.status()).healthz, 'ok', name)
    await first.pass()
  }
  await plugin.stop()
})

void test('an address that hangs is left, although vault.timeout is longer than any call', async (t) => {
  const [first, second] = await Promise.all([fixture.tcpProxy(), fixture.tcpProxy()])
  const plugin = await fixture.startHealthy({
    address: [first.address, second.address],
    kms: { refreshInterval: '5m' },
    vault: { timeout: '8s' },
  })
  await first.hang()
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  t.equal((await plugin.client.status()).healthz, 'ok')
  await plugin.stop()
})

void test('an address that is sealed is left for another', async (t) => {
  const [first, second] = await Promise.all([fixture.httpProxy(), fixture.httpProxy()])
  const plugin = await fixture.startHealthy({ address: [first.address, second.address], kms: KMS })
  first.respond({ status: 503, body: { errors: ['Vault is sealed'] } })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  second.respond({ status: 503, body: { errors: ['Vault is sealed'] } })
  await plugin.waitForHealth(/is sealed/)
  first.clear()
  await plugin.waitForHealth('ok')
  await plugin.stop()
})

void test('a standby that sends the caller to a known address is followed, with the token', async (t) => {
  const [standby, active] = await Promise.all([fixture.httpProxy(), fixture.httpProxy()])
  const headers = (path: string) => ({ location: `${active.address}${path}` })
  const path = '/v1/auth/jwt/login'
  standby.respond({ status: 307, headers: headers(path) }, { match: (_, asked) => asked === path })
  const plugin = await fixture.startHealthy({
    address: [standby.address, active.address],
    kms: KMS,
  })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  t.equal(active.count('POST', path), 1)
  t.ok(active.count('POST', '/v1/transit/encrypt/k8s-etcd') >= 1, 'and the active one is kept')
  await plugin.stop()
})

void test('a redirect by a standby to a foreign host is refused with the reason, and that host sees nothing', async (t) => {
  const [standby, foreign] = await Promise.all([fixture.httpProxy(), fixture.httpProxy()])
  const plugin = await fixture.startHealthy({ address: standby.address, kms: KMS })
  for (const status of [301, 302, 307, 308]) {
    standby.respond({
      status,
      headers: { location: `${foreign.address}/v1/transit/keys/k8s-etcd` },
    })
    const told =
      /redirects to http:\/\/127.0.0.1:\d+, which is not in vault.address|drop the request body/
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), {
      code: 'UNAVAILABLE',
      message: told,
    })
    await plugin.waitForHealth(/is not in vault.address; it may be a leader that is down/)
    standby.clear()
    await plugin.waitForHealth('ok')
  }
  t.equal(foreign.accepted, 0, 'not even a connection')
  await plugin.stop()
})

void test('when no address answers the reason is reported, and the first to come back is used', async (t) => {
  const dead = `http://127.0.0.1:${String(await freePort())}`
  const network = await fixture.tcpProxy()
  await network.refuse()
  const plugin = await fixture.start({ address: [dead, network.address], kms: KMS })
  await plugin.waitForHealth(/connection refused/)
  await network.pass()
  await plugin.waitForHealth('ok')
  const since = bao.auditMark()
  await plugin.client.encrypt(newSeed())
  await eventually('the audit line', () => fixture.asked(since, /encrypt/).length === 1)
  t.ok(plugin.program.running)
  await plugin.stop()
})

fixture.end()
