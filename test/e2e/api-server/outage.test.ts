// An outage of Vault: what an API server and its users see (docs/design.md, "Outage and refusal"), and the effect of a
// restart during the outage.
import { test, type Test } from 'tap'
import { eventually } from '../../real/host/eventually.ts'
import { apiServerCalls, kmsProviders, lastStatus, pluginCalls, vaultRequests } from '../observe.ts'
import { storedV2 } from '../stored.ts'
import { startCluster, type Cluster } from '../cluster.ts'

const OUTAGE_GRACE = 5_000
const VALUES = { password: 'written-before' }

void test('an outage shows after its grace, with the reason, and writes continue', async (t) => {
  const { api, plugin, proxy, etcd } = await startCluster(t, { kms: { outageGrace: '5s' } })
  await api.createSecret('default', 'before', VALUES)
  const { keyId } = await plugin.client.status()
  await kmsProviders(api, 'ok')

  await proxy.refuse()
  const lostAt = performance.now()
  await plugin.waitForHealth(/^Vault at .* is unreachable/)
  const seconds = (performance.now() - lostAt) / 1000
  t.ok(seconds > OUTAGE_GRACE / 1000 - 1, `healthz is ok for ${seconds.toFixed(1)} s`)
  const { healthz } = await plugin.client.status()
  const words = await kmsProviders(api, /got unexpected healthz status/)
  t.match(words, healthz, 'the API server repeats the message of the plugin')
  t.comment(words)
  const { status, text } = await api.readyz()
  t.equal(status, 500)
  t.match(text, /\[-\]kms-providers failed/)

  // Each Status, though unhealthy, lets the write key live three minutes more.
  const seen = await lastStatus(api, keyId)
  await eventually('another Status', async () => {
    await api.readyz('kms-providers')
    return (await lastStatus(api, keyId)) > seen + 1
  })
  await api.createSecret('default', 'during', VALUES)
  t.match(await storedV2(etcd, 'during'), { keyId })
  t.same(await api.getSecret('default', 'before'), VALUES)
  t.equal(await apiServerCalls(api, 'Encrypt', 'Unavailable'), 0, 'nothing asks for another seed')

  await proxy.pass()
  const backAt = performance.now()
  await plugin.waitForHealth('ok')
  await kmsProviders(api, 'ok')
  t.comment(`the API server is ready ${((performance.now() - backAt) / 1000).toFixed(1)} s after`)
  t.same(await api.getSecret('default', 'during'), VALUES)
})

void test('a refusal of Vault shows at once, and so does its end', async (t) => {
  const { api, plugin, vault } = await startCluster(t, { kms: { outageGrace: '30m' } })
  await kmsProviders(api, 'ok')
  await vault.writePolicy('path "sys/none" { capabilities = ["read"] }')
  await plugin.waitForHealth(/denies read key: permission denied/)
  const words = await kmsProviders(api, /denies read key: permission denied/)
  t.comment(words)
  await api.createSecret('default', 'during', VALUES)
  await vault.writePolicy()
  await plugin.waitForHealth('ok')
  await kmsProviders(api, 'ok')
})

for (const enabled of [false, true]) {
  void test(`an API server restarts while Vault is down, decryptCache ${String(enabled)}`, (t) =>
    restartWithoutVault(t, enabled))
}

async function restartWithoutVault(t: Test, enabled: boolean): Promise<void> {
  const cluster = await startCluster(t, {
    kms: { outageGrace: '2s', decryptCache: { enabled } },
  })
  const { api, plugin, proxy } = cluster
  await api.createSecret('default', 'before', VALUES)
  await api.restart()
  t.same(await api.getSecret('default', 'before'), VALUES)
  t.equal(await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' }), 1)
  await expectCached(t, cluster, enabled)

  const decrypts = await pluginCalls(plugin, { method: 'Decrypt' })
  await proxy.refuse()
  await plugin.waitForHealth(/^Vault at .* is unreachable/)
  await api.restart({ waitReady: false })
  // It has no write key yet, and without one it does not even request Decrypt.
  await kmsProviders(api, /errGen=.*encrypt/i)
  const { status, body } = await api.request('GET', '/api/v1/namespaces/default/secrets/before')
  t.equal(status, 500)
  t.match(body.message, /got unexpected nil transformer/)
  t.equal(await pluginCalls(plugin, { method: 'Decrypt' }), decrypts)
  t.ok((await apiServerCalls(api, 'Encrypt', 'Unavailable')) > 0)
  const write = { metadata: { name: 'during' }, stringData: VALUES }
  t.equal((await api.request('POST', '/api/v1/namespaces/default/secrets', write)).status, 500)
  t.equal((await api.livez('ping')).status, 200)

  await proxy.pass()
  const backAt = performance.now()
  await eventually('the API server to be ready', async () => (await api.readyz()).status === 200)
  t.comment(`ready ${((performance.now() - backAt) / 1000).toFixed(1)} s after Vault is back`)
  t.same(await api.getSecret('default', 'before'), VALUES)
}

/** With the cache, a restart of the API server alone needs no Decrypt of Vault. */
async function expectCached(t: Test, cluster: Cluster, enabled: boolean): Promise<void> {
  const { api, plugin } = cluster
  const before = await vaultRequests(plugin, 'decrypt')
  await api.restart()
  t.same(await api.getSecret('default', 'before'), VALUES)
  t.equal((await vaultRequests(plugin, 'decrypt')) - before, enabled ? 0 : 1)
}
