import { test } from 'tap'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { eventually } from '../../real/host/eventually.ts'
import { Fixture, newSeed } from '../fixture.ts'

const fixture = await Fixture.open({ ttl: '1s' })
const proxy = await fixture.tcpProxy()
const plugin = await fixture.startHealthy({ address: proxy.address })

/** How many logins have failed so far. */
async function failedLogins(): Promise<number> {
  const { text } = await plugin.admin('/metrics')
  return findSamples(text, 'transit_bridge_vault_logins_total')
    .filter(({ labels }) => labels['outcome'] !== 'ok')
    .reduce((sum, { value }) => sum + value, 0)
}

void test('calls that need a login wait for the next one, and succeed when Vault returns', async (t) => {
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  await proxy.refuse()
  // The token ends meanwhile. The pause after the third failed login is seconds long.
  const begun = await failedLogins()
  await eventually('three failed logins', async () => (await failedLogins()) >= begun + 3, {
    timeoutMs: 60_000,
  })
  const calls = [
    plugin.client.decrypt(wrapped, { timeout: 20_000 }),
    plugin.client.encrypt(newSeed(), { timeout: 20_000 }),
  ]
  const ended = Promise.allSettled(calls)
  // The outage still lasts when they arrive: Status has no place in their queue.
  await plugin.client.status()
  await proxy.pass()
  const failures = (await ended).filter(({ status }) => status === 'rejected')
  t.same(failures, [])
})

void test('a call whose deadline comes before the next login fails with the reason', async (t) => {
  await proxy.refuse()
  const begun = await failedLogins()
  await eventually('a failed login', async () => (await failedLogins()) > begun, {
    timeoutMs: 60_000,
  })
  await t.rejects(plugin.client.encrypt(newSeed(), { timeout: 1_500 }), {
    message: /unreachable: connection refused/,
  })
  await proxy.pass()
})

fixture.end()
