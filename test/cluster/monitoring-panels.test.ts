// The dashboard before a real Prometheus that scrapes plugin, provider and API server under a short load.
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { fillVariables, queriesOf, readDashboard } from '../monitoring/dashboard.ts'
import { API_SERVER_METRICS } from '../monitoring/metric-names.ts'
import { whyNoMounts } from '../real/mount-namespace.ts'
import { Prometheus } from '../real/prometheus.ts'
import { findSamples } from '../real/prometheus-text.ts'
import { makeKey } from '../real/transit-setup.ts'
import { startCsiWorld, type CsiWorld } from './csi-world.ts'
import { eventually } from './eventually.ts'
import { startCluster, type Cluster } from './world.ts'

/** Runs something again and again until the test ends. */
function keepDoing(t: Parameters<typeof startCluster>[0], work: () => Promise<void>): void {
  const end = new AbortController()
  const run = async () => {
    while (!end.signal.aborted) {
      await work()
      await pause(50)
    }
  }
  const running = run()
  t.teardown(async () => {
    end.abort()
    await running
  })
}

/** What an API server and its plugin do all day, faster. */
async function loadKms({ api, plugin }: Cluster, count: number): Promise<void> {
  const name = `load-${String(count)}`
  await api.createSecret('default', name, { value: name })
  await api.getSecret('default', name)
  const { ciphertext, keyId, annotations } = await plugin.client.encrypt(Buffer.alloc(32, count))
  await plugin.client.decrypt({ ciphertext, keyId, annotations })
  await api.readyz('kms-providers')
}

async function startWorkload(t: Parameters<typeof startCluster>[0]): Promise<CsiWorld> {
  const world = await startCsiWorld(t)
  const { cluster, vault } = world
  await makeKey(vault.bao, 'app-signing', { type: 'ecdsa-p256' })
  await makeKey(vault.bao, 'app-data')
  const ciphertext = await vault.encrypt('app-data', 'a password')
  await cluster.writeClass({
    name: 'web',
    objects: [
      { path: 'signing.pem', type: 'publicKey', key: 'app-signing' },
      { path: 'password', type: 'decrypt', key: 'app-data', ciphertext },
    ],
  })
  const pod = await cluster.createPod({ name: 'web-0', classes: 'web' })
  await cluster.publish(pod, 'web')
  keepDoing(t, async () => {
    await cluster.publish(pod, 'web')
  })
  return world
}

void t.test('every panel shows something', { skip: whyNoMounts() }, async (t) => {
  const kms = await startCluster(t)
  const { provider } = await startWorkload(t)
  let count = 0
  keepDoing(t, () => loadKms(kms, (count += 1)))
  const prometheus = await Prometheus.start([
    { job: 'transit-bridge', address: `127.0.0.1:${String(kms.plugin.adminPort)}` },
    { job: 'transit-bridge-csi', address: `127.0.0.1:${String(provider.adminPort)}` },
    {
      job: 'kube-apiserver',
      address: new URL(kms.api.address).host,
      tls: { caFile: kms.api.caFile, token: kms.api.adminToken },
    },
  ])
  t.teardown(() => prometheus.stop())

  const dashboard = readDashboard()
  for (const { title, expr } of queriesOf(dashboard)) {
    const series = await eventually(
      `${title}: ${expr}`,
      async () => {
        const found = await prometheus.query(fillVariables(expr))
        return found.some(({ value }) => !Number.isNaN(value)) && found
      },
      { timeoutMs: 90_000, intervalMs: 500 },
    )
    t.ok(series.length > 0, `${title}: ${String(series.length)} series`)
  }
  const healthy = await prometheus.query('min(transit_bridge_kms_healthy)')
  t.equal(healthy[0]?.value, 1)
  for (const variable of dashboard.templating.list.filter(({ definition }) => definition)) {
    const [, metric = ''] = /label_values\((\w+)/.exec(variable.definition ?? '') ?? []
    t.ok((await prometheus.query(metric)).length > 0, `variable ${variable.name}`)
  }
  const text = await kms.api.metrics()
  for (const name of API_SERVER_METRICS) {
    // Counters that have never counted are not shown: a reload of the configuration needs a minute.
    if (name.includes('automatic_reloads')) continue
    const suffixes = ['', '_count']
    t.ok(
      suffixes.some((suffix) => findSamples(text, name + suffix).length > 0),
      name,
    )
  }
})
