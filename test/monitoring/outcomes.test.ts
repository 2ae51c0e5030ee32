import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { test } from 'tap'
import { parse } from 'yaml'

import { KeyManagementService } from '../../src/gen/kms/v2/api_pb.ts'
import type { Definition } from '../../src/telemetry/metrics/definition.ts'
import { metricsByRole } from '../../src/telemetry/metrics/roles.ts'
import { queriesOf, readDashboard } from './dashboard.ts'
import { codesIn, codesOf, declaredCodes, namesOfUnion } from './outcome-names.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

type Rules = { groups: { rules: { alert: string; expr: string }[] }[] }
const { rules = [] } =
  (parse(read('helm/transit-bridge/rules/transit-bridge.yaml')) as Rules).groups[0] ?? {}

const CODES = { kms: codesOf('src/commands/kms.ts'), csi: codesOf('src/commands/csi.ts') }

void test('the codes of a command are those that its source makes', (t) => {
  for (const code of [
    'KEY_VERSION_UNKNOWN',
    'AAD_IGNORED',
    'VAULT_SEALED',
    'INTERNAL',
    'OVERLOADED',
  ])
    t.ok(CODES.kms.has(code), `kms ${code}`)
  for (const code of ['RULE_DENIED', 'POD_TOKEN_MISSING', 'CLASS_INVALID', 'OVERLOADED'])
    t.ok(CODES.csi.has(code), `csi ${code}`)
  t.notOk(CODES.kms.has('RULE_DENIED'))
  t.notOk(CODES.csi.has('CLUSTER_FOREIGN'))
  t.notOk(CODES.kms.has('ETCD_DENIED'))
  t.end()
})

void test('a runbook names only codes that the metrics of its alert can have', (t) => {
  t.equal(rules.length, 20)
  for (const { alert, expr } of rules) {
    const command = expr.includes('transit_bridge_csi_') ? 'csi' : 'kms'
    const named = codesIn(read(`docs/runbooks/${alert}.md`))
    t.same(
      named.filter((code) => !CODES[command].has(code)),
      [],
      alert,
    )
  }
  t.end()
})

void test('the reference of metrics and the pages about the provider name only codes that exist', (t) => {
  const codes = new Set([...CODES.kms, ...CODES.csi])
  for (const file of ['docs/metrics.md', 'docs/csi.md', 'README.md']) {
    const words = codesIn(read(file)).filter(
      (word) => !/^(?:VAULT|BAO)_(?:ADDR|TOKEN|CACERT|NAMESPACE)$/.test(word),
    )
    t.same(
      words.filter((word) => !codes.has(word)),
      [],
      file,
    )
  }
  t.end()
})

void test('every error code is used', (t) => {
  const made = codesOf('src/main.ts')
  t.same(
    [...declaredCodes()].filter((code) => !made.has(code)),
    [],
  )
  t.end()
})

/** What Prometheus and a scrape configuration add. */
const ADDED_LABELS = new Set(['cluster', 'component', 'instance', 'job', 'le'])
const SELECTOR = /(transit_bridge_\w+?)(?:_bucket|_sum|_count)?\{([^}]*)\}/g
const MATCHER = /(\w+)(?:=~|!~|!=|=)"([^"]*)"/g

const VALUES: Readonly<Record<string, ReadonlySet<string>>> = {
  // Statuses of gRPC, and those of HTTP with which a run-time request fails.
  code: new Set([...Object.keys(status), '499', '500', '503']),
  method: new Set(KeyManagementService.methods.map(({ name }) => name)),
  operation: namesOfUnion('src/vault/client/request.ts', 'VaultOperation'),
  outcome: new Set(['ok', 'vault', 'cache', 'absent', ...CODES.kms, ...CODES.csi]),
  reason: new Set(['ok', 'starting', 'outage', ...CODES.kms, ...CODES.csi]),
}

void test('queries of alerts and dashboard select labels that the metrics have, and values that occur', (t) => {
  const own: Definition[] = Object.values(metricsByRole).flatMap((each) => Object.values(each))
  const queries = [
    ...rules.map(({ expr }) => expr),
    ...queriesOf(readDashboard()).map(({ expr }) => expr),
  ]
  let selected = 0
  for (const query of queries) {
    for (const [, name = '', matchers = ''] of query.matchAll(SELECTOR)) {
      const metric = own.find((each) => each.name === name)
      for (const [, label = '', value = ''] of matchers.matchAll(MATCHER)) {
        if (ADDED_LABELS.has(label)) continue
        selected += 1
        t.ok(metric?.labelNames?.includes(label), `${name} has the label ${label}`)
        for (const each of value.split('|'))
          t.ok(VALUES[label]?.has(each), `${label} ${each} occurs`)
      }
    }
  }
  t.ok(selected > 3)
  t.end()
})
