// The alerts, by Prometheus's own tool.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { fillVariables, queriesOf, readDashboard } from '../../monitoring/dashboard.ts'
import { obtain } from '../../real/host/parts.ts'
import { Program } from '../../real/program/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

const ROOT = join(import.meta.dirname, '../../..')

async function promtool(...args: string[]): Promise<string> {
  const command = await obtain('promtool')
  const program = Program.start({ name: 'promtool', command, args, folder: tempFolder('promtool') })
  await program.finished()
  return program.output()
}

void test('promtool accepts the rules', async (t) => {
  const file = join(ROOT, 'helm/transit-bridge/rules/transit-bridge.yaml')
  t.match(await promtool('check', 'rules', file), /SUCCESS: 20 rules found/)
})

void test('every alert fires when it must, and only then', async (t) => {
  t.match(await promtool('test', 'rules', join(ROOT, 'test/monitoring/alerts.yaml')), /SUCCESS/)
})

void test('the panel Certificates shows what expires first, of the certificate and the authorities of one node', async (t) => {
  const exprs = queriesOf(readDashboard()).filter(({ title }) => title === 'Certificates')
  t.equal(exprs.length, 1)
  const expiry = (of: string, at: number) => ({
    series: `transit_bridge_vault_${of}_expiry_timestamp_seconds{job="transit-bridge",instance="node-1"}`,
    values: `${String(at)}x5`,
  })
  const tests = [
    [expiry('client_certificate', 9_000), expiry('ca', 1_060)],
    [expiry('client_certificate', 1_060), expiry('ca', 9_000)],
    [expiry('ca', 1_060)],
  ].map((series) => ({
    interval: '1m',
    input_series: series,
    promql_expr_test: exprs.map(({ expr }) => ({
      expr: fillVariables(expr),
      eval_time: '1m',
      exp_samples: [{ labels: '{}', value: 1_000 }],
    })),
  }))
  const file = join(tempFolder('panels'), 'tests.yaml')
  writeFileSync(file, JSON.stringify({ evaluation_interval: '1m', tests }))
  t.match(await promtool('test', 'rules', file), /SUCCESS/)
})
