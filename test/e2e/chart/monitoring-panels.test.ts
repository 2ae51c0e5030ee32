// The dashboard with a real Prometheus that scrapes plugin, provider and API server under a short load.
import { test } from 'tap'
import { fillVariables, queriesOf, readDashboard } from '../../monitoring/dashboard.ts'
import { API_SERVER_METRICS } from '../../monitoring/metric-names.ts'
import { lintMetrics } from './promtool.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { eventually } from '../../real/host/eventually.ts'
import { startWatchedStack } from './watched-stack.ts'

/** About calls and scrapes that take long. */
const ALERTS_OF_A_SLOW_MACHINE = [
  'TransitBridgeCallsFail',
  'TransitBridgeTargetDown',
  'TransitBridgeVaultSlow',
]

void test(
  'every panel shows something, and the metrics are clean',
  { skip: whyNoMounts() },
  async (t) => {
    const { kms, csi, prometheus } = await startWatchedStack(t)
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
    for (const variable of dashboard.templating.list.filter(
      ({ query }) => query !== 'prometheus',
    )) {
      const [, metric = ''] = /label_values\((\w+)/.exec(JSON.stringify(variable.query)) ?? []
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
    const alerts = `ALERTS{alertname!~"${ALERTS_OF_A_SLOW_MACHINE.join('|')}"}`
    t.same(await prometheus.query(alerts), [], 'nothing fires, and nothing is about to')
    // Prometheus prefers OpenMetrics; a text that it cannot read makes `up` always 0. A slow machine can miss a scrape.
    for (const job of ['transit-bridge', 'transit-bridge-csi'])
      t.equal(
        (await prometheus.query(`min(max_over_time(up{job="${job}"}[1m]))`))[0]?.value,
        1,
        job,
      )
    const joined = await prometheus.query(
      'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds * on (key_id_hash) group_left (key_version) max by (key_id_hash, key_version) (transit_bridge_key_info)',
    )
    t.match(joined, [{ labels: { key_version: '1' } }], "the API server's hash is the plugin's")
    for (const program of [kms.plugin, csi.provider]) {
      const { text: metrics } = await program.admin('/metrics')
      t.equal(await lintMetrics(metrics), '')
    }
  },
)
