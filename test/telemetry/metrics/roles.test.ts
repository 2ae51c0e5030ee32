import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { generateMetricsDocument } from '../../../scripts/generate-metrics-docs.ts'
import {
  createCsiMetrics,
  createInstallerMetrics,
  createKmsMetrics,
  metricsByRole,
} from '../../../src/telemetry/metrics/roles.ts'

const ROLES = {
  kms: createKmsMetrics,
  csi: createCsiMetrics,
  installer: createInstallerMetrics,
} as const

void test('docs/metrics.md has every metric (npm run generate updates it)', async (t) => {
  const document = readFileSync(join(import.meta.dirname, '../../../docs/metrics.md'), 'utf8')
  t.equal(document, await generateMetricsDocument())
  for (const definitions of Object.values(metricsByRole))
    for (const { name } of Object.values(definitions))
      t.ok(document.includes(`| \`${name}\``), name)
})

void test('a process exports the metrics of its role, and no others', async (t) => {
  for (const [role, create] of Object.entries(ROLES)) {
    const { registry } = create('test')
    const own = registry
      .getMetricsAsArray()
      .map(({ name }) => name)
      .filter((name) => name.startsWith('transit_bridge_'))
    const definitions = Object.values(metricsByRole[role as keyof typeof ROLES])
    t.same(new Set(own), new Set(definitions.map(({ name }) => name)), role)
    const foreign = {
      kms: /_csi_/,
      csi: /_kms_|_key_|decrypt|token/,
      installer: /_kms_|_csi_|vault/,
    }
    t.same(
      own.filter((name) => foreign[role as keyof typeof ROLES].test(name)),
      [],
      role,
    )
  }
})

void test('a value that is not known has no series', async (t) => {
  const { registry } = createKmsMetrics('test')
  const text = await registry.metrics()
  for (const name of ['key_version', 'vault_up', 'vault_token_expiry_timestamp_seconds'])
    t.notMatch(text, new RegExp(`^transit_bridge_${name} `, 'm'))
  t.match(text, /^transit_bridge_kms_calls_in_flight 0$/m, 'but a fact has')
  t.match(text, /^transit_bridge_log_lines_dropped_total 0$/m)
})

void test('the text names the program and the Node that runs', async (t) => {
  const text = await createKmsMetrics('1.2.3').registry.metrics()
  t.match(text, `transit_bridge_build_info{version="1.2.3",node="${process.versions.node}"} 1`)
  t.match(text, /^process_cpu_seconds_total /m)
})
