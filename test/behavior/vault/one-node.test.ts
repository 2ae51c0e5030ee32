import { test } from 'tap'
import { Balancer } from '../../real/faults/balancer.ts'
import type { HttpAnswer } from '../../real/faults/http-proxy.ts'
import { linesSaying, Fixture, newSeed } from '../fixture.ts'

/**
 * One of several nodes of Vault cannot answer, and the others can. The proxy answers as that node does: a cluster in
 * that state cannot be held there, because its members join again or are restarted.
 */
const fixture = await Fixture.open()

const broken: Readonly<Record<string, HttpAnswer>> = {
  'is sealed': { status: 503, body: { errors: ['Vault is sealed'] } },
  'is not initialized': { status: 501, body: { errors: ['Vault is not initialized'] } },
  'cannot forward to the leader': {
    status: 500,
    body: { errors: ['local node not active but active cluster node not found'] },
  },
  'redirects to a leader that is gone': {
    status: 307,
    headers: { location: 'http://192.0.2.1:8200/v1/transit/encrypt/x' },
  },
  'is hidden by an error of the balancer': { status: 502, body: 'bad gateway' },
}

for (const [state, answer] of Object.entries(broken)) {
  void test(`a call reaches another node behind the same address when one ${state}`, async (t) => {
    const node = await fixture.httpProxy()
    const balancer = await Balancer.start([fixture.bao.address])
    t.teardown(() => balancer.stop())
    const plugin = await fixture.startHealthy({ address: balancer.address })
    node.respond(answer)
    balancer.use([node.address, fixture.bao.address])
    // Without a new connection, every call would reach the node that the first one reached.
    for (let call = 0; call < 6; call += 1) await plugin.client.encrypt(newSeed())
    await plugin.client.status()
    t.ok(node.count() > 0, 'the node was asked')
    t.strictSame(linesSaying(plugin, 'unhealthy'), [])
    t.equal(await plugin.stop(), 0)
  })
}

void test('connections to nodes that answer are kept', async (t) => {
  const node = await fixture.httpProxy()
  const good = await fixture.httpProxy()
  const balancer = await Balancer.start([good.address])
  t.teardown(() => balancer.stop())
  const plugin = await fixture.startHealthy({ address: balancer.address })
  node.respond({ status: 503, body: { errors: ['Vault is sealed'] } })
  balancer.use([node.address, good.address])
  await Promise.all(Array.from({ length: 16 }, () => plugin.client.encrypt(newSeed())))
  // From here on the calls use one connection, and this one finds a node that answers for it.
  await plugin.client.encrypt(newSeed())
  const asked = node.count()
  for (let call = 0; call < 30; call += 1) await plugin.client.encrypt(newSeed())
  t.ok(asked > 0)
  t.equal(node.count(), asked, 'connections that led to the node were not opened again')
  t.equal(await plugin.stop(), 0)
})

void test('an address that limits the rate for longer than the call may take is left for another one', async (t) => {
  for (const body of [{ errors: ['rate limit quota exceeded'] }, 'slow down']) {
    const limited = await fixture.httpProxy()
    const plugin = await fixture.startHealthy({ address: [limited.address, fixture.bao.address] })
    limited.respond({ status: 429, headers: { 'retry-after': '60' }, body })
    for (let call = 0; call < 3; call += 1) await plugin.client.encrypt(newSeed())
    const asked = limited.count()
    await plugin.client.encrypt(newSeed())
    t.equal(limited.count(), asked, 'the address is not asked again')
    t.equal(await plugin.stop(), 0)
  }
})

fixture.end()
