import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { escrowMetrics } from '../../src/escrow/metrics.ts'
import { metricsByRole } from '../../src/telemetry/metrics/roles.ts'

const ROOT = join(import.meta.dirname, '../..')
const NAME = /\b(?:transit_bridge|apiserver)_\w+/g
const SUFFIX = /_(?:bucket|sum|count)$/

/** A label of every metric of `kube-apiserver`, which the documentation names without a metric. */
export const API_SERVER_LABELS: readonly string[] = ['apiserver_id_hash']

/**
 * Metrics of kube-apiserver (1.34 and newer) that dashboard, alerts and documents speak of;
 * test/e2e/chart/monitoring-panels.test.ts holds them against a real one.
 */
export const API_SERVER_METRICS: readonly string[] = [
  'apiserver_encryption_config_controller_automatic_reloads_total',
  'apiserver_envelope_encryption_dek_source_cache_size',
  'apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds',
  'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds',
  'apiserver_envelope_encryption_key_id_hash_total',
  'apiserver_envelope_encryption_kms_operations_latency_seconds',
  'apiserver_storage_transformation_operations_total',
]

/** Metrics in the file of `escrow check --prometheus-file`, which no server of the program has. */
export const ESCROW_METRICS: readonly string[] = Object.values(escrowMetrics).map(
  ({ name }) => name,
)

/** The metrics of the servers, in all roles. */
export function ownMetrics(): readonly string[] {
  return Object.values(metricsByRole).flatMap((definitions) =>
    Object.values(definitions).map(({ name }) => name),
  )
}

/** Metrics that a text names, without what a histogram appends. */
export function metricsIn(text: string): readonly string[] {
  const names = text.match(NAME) ?? []
  return [...new Set(names.map((name) => name.replace(SUFFIX, '')))]
}

/** What speaks of metrics: by path, the text. */
export function monitoringTexts(): ReadonlyMap<string, string> {
  const files = [
    'README.md',
    'helm/transit-bridge/dashboards/transit-bridge.json',
    'helm/transit-bridge/rules/transit-bridge.yaml',
    ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  ]
  return new Map(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))
}
