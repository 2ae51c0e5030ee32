// More than three minutes of outage, in real time: an API server lets its write key live for three minutes
// after the last Status that it could use, and nothing shortens that (kmsv2PluginWriteDEKSourceMaxTTL).
import { test } from 'tap'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { eventually } from '../../real/host/eventually.ts'
import { kmsProviders, lastStatus } from '../observe.ts'
import { storedV2 } from '../stored.ts'
import { startApiServer, startCluster, startPlugin, usualConfig } from '../cluster.ts'

const WRITE_KEY_LIFE = 180_000
const SAFELY_LONGER = 200_000

void test('writes outlive three minutes without Vault, but not without the plugin', async (t) => {
  const cluster = await startCluster(t, { kms: { outageGrace: '5s' } })
  const { vault, proxy, etcd, plugin, api } = cluster
  const other = await startPlugin(t, vault, proxy)
  const bereft = await startApiServer(t, {
    etcd,
    encryptionConfig: usualConfig(other.socket),
  })
  await kmsProviders(api, 'ok')
  const { keyId } = await plugin.client.status()

  await proxy.refuse()
  await other.kill()
  const lostAt = performance.now()
  let writes = 0
  const expired = await eventually(
    'the write key of the API server without a plugin to expire',
    async () => {
      writes += 1
      await api.createSecret('default', `during-${String(writes)}`, { value: 'a' })
      const refused = await refusalOf(bereft, `bereft-${String(writes)}`)
      return refused !== undefined && { refused, afterMs: performance.now() - lostAt }
    },
    { timeoutMs: WRITE_KEY_LIFE + 15_000, intervalMs: 1_000 },
  )
  t.match(expired.refused, /encryptedDEKSource with keyID hash "sha256:[0-9a-f]+" expired at/)
  t.ok(expired.afterMs > WRITE_KEY_LIFE - 60_000)
  t.comment(`without the plugin writes ended after ${(expired.afterMs / 1000).toFixed(0)} s`)
  t.same(await bereft.getSecret('default', 'bereft-1'), { value: 'a' }, 'it reads what it wrote')
  const path = '/api/v1/namespaces/default/secrets/during-1'
  const { status, body } = await bereft.request('GET', path)
  t.equal(status, 500, 'but nothing that the other one wrote under its own seed')
  t.match(body.message, /failed to decrypt DEK/)

  await eventually(
    'three minutes without Vault',
    async () => {
      writes += 1
      await api.createSecret('default', `during-${String(writes)}`, { value: 'a' })
      return performance.now() - lostAt > SAFELY_LONGER
    },
    { timeoutMs: SAFELY_LONGER, intervalMs: 1_000 },
  )
  t.comment(`${String(writes)} writes in ${String(SAFELY_LONGER / 1000)} s without Vault`)
  t.match(await storedV2(etcd, `during-${String(writes)}`), { keyId })
  t.ok(Date.now() / 1000 - (await lastStatus(api, keyId)) < 30, 'Status is asked all the time')
  await kmsProviders(api, /got unexpected healthz status: Vault at .* is unreachable/)

  await proxy.pass()
  await other.restart()
  const backAt = performance.now()
  await kmsProviders(api, 'ok')
  // Its gRPC client waits longer after each connection that failed, up to two minutes.
  await kmsProviders(bereft, 'ok', { timeoutMs: 150_000, intervalMs: 500 })
  t.comment(`the plugin is found after ${((performance.now() - backAt) / 1000).toFixed(0)} s`)
  await bereft.createSecret('default', 'again', { value: 'a' })
})

async function refusalOf(api: KubeApiServer, name: string): Promise<string | undefined> {
  const body = { metadata: { name }, stringData: { value: 'a' } }
  const answer = await api.request('POST', '/api/v1/namespaces/default/secrets', body)
  return answer.status < 400 ? undefined : String(answer.body.message)
}
