import type { EscrowManifest } from './manifest.ts'
import { isComplete, type Coverage } from './reading.ts'

type Metric = readonly [name: string, help: string, value: number]

/** The result of a check in the text format of Prometheus. The ratio is 1 only if everything is proved to be covered. */
export function formatMetrics(manifest: EscrowManifest, coverage: Coverage, now: number): string {
  const { encrypted, covered } = coverage
  const share = encrypted === 0 ? 0 : covered / encrypted
  const ratio = isComplete(coverage) ? 1 : Math.min(share, 0.999999)
  return format([
    coveredRatio(ratio),
    [
      'transit_bridge_escrow_created_timestamp_seconds',
      'When the escrow was created.',
      Math.floor(Date.parse(manifest.createdAt) / 1000),
    ],
    checkedTime(now),
  ])
}

/** The same for an escrow that cannot be read: it covers nothing. */
export function formatMetricsOfUnreadable(now: number): string {
  return format([coveredRatio(0), checkedTime(now)])
}

function coveredRatio(ratio: number): Metric {
  const help = 'Encrypted objects in etcd that the escrow covers, from 0 to 1.'
  return ['transit_bridge_escrow_covered_ratio', help, ratio]
}

function checkedTime(now: number): Metric {
  const name = 'transit_bridge_escrow_checked_timestamp_seconds'
  return [name, 'When the escrow was last checked.', Math.floor(now / 1000)]
}

function format(metrics: readonly Metric[]): string {
  return metrics
    .map(
      ([name, help, value]) =>
        `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${String(value)}\n`,
    )
    .join('')
}
