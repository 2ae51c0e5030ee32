import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { queriesOf, readDashboard } from './dashboard.ts'
import {
  API_SERVER_LABELS,
  API_SERVER_METRICS,
  ESCROW_METRICS,
  metricsIn,
  monitoringTexts,
  ownMetrics,
} from './metric-names.ts'

const ROOT = join(import.meta.dirname, '../..')
const rules = readFileSync(join(ROOT, 'helm/transit-bridge/rules/transit-bridge.yaml'), 'utf8')

type Rule = {
  alert: string
  expr: string
  labels: { severity: string }
  annotations: { summary: string; description: string; runbook_url: string }
}
const alerts = (parse(rules) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
)

/** Names that documents use for families of metrics: transit_bridge_*, apiserver_envelope_encryption_*. */
const FAMILY = /_$/

void test('every metric that dashboard, alerts and documents name exists', async (t) => {
  const known = new Set([
    ...ownMetrics(),
    ...ESCROW_METRICS,
    ...API_SERVER_METRICS,
    ...API_SERVER_LABELS,
  ])
  for (const [file, text] of monitoringTexts()) {
    const unknown = metricsIn(text).filter((name) => !known.has(name) && !FAMILY.test(name))
    t.same(unknown, [], file)
  }
})

void test('every metric of the program that can go wrong is on the dashboard', async (t) => {
  const shown = new Set(metricsIn(JSON.stringify(readDashboard())))
  const own = ownMetrics()
  // Rotations are marked on every panel, by the version of the key.
  // The start of a certificate counts only in its alert.
  const elsewhere = [
    'transit_bridge_key_rotations_seen_total',
    'transit_bridge_vault_client_certificate_not_before_timestamp_seconds',
  ]
  t.same(
    own.filter((name) => !shown.has(name) && !elsewhere.includes(name)),
    [],
  )
})

void test('the dashboard is complete: no two panels overlap, each says what it means', (t) => {
  const { panels } = readDashboard()
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const taken = new Set<string>()
  for (const { title, type, description, gridPos, targets } of panels) {
    if (type !== 'row') {
      t.type(description, 'string', title)
      t.ok((targets ?? []).length > 0, `${title}: has a query`)
    }
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        const cell = `${String(x)},${String(y)}`
        if (taken.has(cell) || x >= 24) t.fail(`${title}: overlaps at ${cell}`)
        taken.add(cell)
      }
    }
  }
  t.same(
    panels.filter(({ type }) => type === 'row').map(({ title }) => title),
    [
      'Is the cluster safe',
      'How fast is the plugin',
      'What workloads get from the CSI provider',
      'What API servers report',
    ],
  )
  t.ok(queriesOf({ panels } as never).every(({ expr }) => !expr.includes('undefined')))
  t.end()
})

void test('every alert has a description, and a runbook that starts with the symptom', (t) => {
  for (const { alert, labels, annotations } of alerts) {
    t.match(labels.severity, /^(critical|warning)$/)
    t.ok(annotations.summary.length > 0 && annotations.description.length > 0, alert)
    t.ok(annotations.runbook_url.endsWith(`/docs/runbooks/${alert}.md`))
    const runbook = readFileSync(join(ROOT, 'docs/runbooks', `${alert}.md`), 'utf8')
    t.match(runbook, new RegExp(`^# ${alert}\n\n\\*\\*Symptom\\.\\*\\* `), alert)
    for (const heading of ['## What it means', '## What to do', '## Afterwards'])
      t.ok(runbook.includes(heading), `${alert}: ${heading}`)
  }
  t.equal(alerts.length, 20)
  t.same(
    new Set(readdirSync(join(ROOT, 'docs/runbooks'))),
    new Set(alerts.map(({ alert }) => `${alert}.md`)),
    'and no runbook is without an alert',
  )
  t.end()
})

void test('every alert has a case in which it fires, and one in which it does not', (t) => {
  const cases = readFileSync(join(ROOT, 'test/monitoring/alerts.yaml'), 'utf8')
  const { tests } = parse(cases) as {
    tests: { promql_expr_test: { expr: string; exp_samples: unknown[] }[] }[]
  }
  const all = tests.flatMap((each) => each.promql_expr_test)
  for (const { alert } of alerts) {
    const own = all.filter(({ expr }) => expr.includes(`"${alert}"`))
    t.ok(
      own.some(({ exp_samples }) => exp_samples.length > 0),
      `${alert} fires`,
    )
    t.ok(
      own.some(({ exp_samples }) => exp_samples.length === 0),
      `${alert} waits`,
    )
  }
  t.end()
})

void test('each alert is linked from a panel that shows its cause, and each link leads to a runbook', (t) => {
  const { panels } = readDashboard()
  const linked = panels
    .flatMap(({ links = [] }) => links)
    .map(({ title, url }) => {
      const [, alert = ''] = /\/docs\/runbooks\/(\w+)\.md$/.exec(url) ?? []
      t.equal(title, `Runbook ${alert}`)
      return alert
    })
  t.same(new Set(linked), new Set(alerts.map(({ alert }) => alert)))
  t.end()
})
