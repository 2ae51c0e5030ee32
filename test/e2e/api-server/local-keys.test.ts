// With local keys, an API server starts, reads and writes while Vault is away (docs/availability.md).
import { t, test } from 'tap'

import { eventually } from '../../real/host/eventually.ts'
import { kmsProviders } from '../observe.ts'
import { startOfflineCluster } from './local-keys.ts'

const cluster = await startOfflineCluster(t, { seeds: 300, secrets: 1_000 })
const { vault, plugin, api } = cluster

void test('without Vault, the API server is ready after each start, reads every seed and writes', async (t) => {
  await vault.bao.kill()
  cluster.mark()
  for (let start = 0; start < 3; start += 1) {
    const { readySeconds, readSeconds } = await cluster.restart()
    t.comment(`ready after ${readySeconds.toFixed(1)} s, read in ${readSeconds.toFixed(1)} s`)
  }
  t.equal(cluster.vaultRequests(), 0)
  t.match(await plugin.client.status(), { healthz: 'ok' })
  t.match((await plugin.admin('/readyz')).text, /^ok: local keys encrypt for \d+ more/)
  await kmsProviders(api, 'ok')
})

void test('when Vault is back, the same', async (t) => {
  await vault.bao.restart()
  await eventually('the plugin to notice it', async () =>
    /^ok$/m.test((await plugin.admin('/readyz')).text),
  )
  cluster.mark()
  await cluster.restart()
  t.equal(cluster.vaultRequests(), 0)
  await kmsProviders(api, 'ok')
})
