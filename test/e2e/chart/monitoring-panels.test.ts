// The dashboard before a real Prometheus that scrapes plugin, provider and API server under a short load.
import { test } from 'tap'
import { fillVariables, queriesOf, readDashboard } from '../../monitoring/dashboard.ts'
import { API_SERVER_METRICS } from '../../monitoring/metric-names.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { eventually } from '../../real/host/eventually.ts'
import { startWatchedStack } from './watched-stack.ts'

void test('every panel shows something', { skip: whyNoMounts() }, async (t) => {
  const { kms, prometheus } = await startWatchedStack(t)
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
