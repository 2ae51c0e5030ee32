import type { EscrowManifest } from './manifest.ts'
import { isComplete, type Coverage } from './reading.ts'

/** The result of a check in the text format of Prometheus. The ratio is 1 only if everything is proved to be covered. */
export function formatMetrics(manifest: EscrowManifest, coverage: Coverage, now: number): string {
  const { encrypted, covered } = coverage
  const share = encrypted === 0 ? 0 : covered / encrypted
  const ratio = isComplete(coverage) ? 1 : Math.min(share, 0.999999)
  const metrics = [
    [
      'transit_bridge_escrow_covered_ratio',
      'Encrypted objects in etcd that the escrow covers, from 0 to 1.',
      ratio,
    ],
    [
      'transit_bridge_escrow_created_timestamp_seconds',
      'When the escrow was created.',
      Math.floor(Date.parse(manifest.createdAt) / 1000),
    ],
    [
      'transit_bridge_escrow_checked_timestamp_seconds',
      'When the escrow was last checked.',
      Math.floor(now / 1000),
    ],
  ] as const
  return metrics
    .map(
      ([name, help, value]) =>
        `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${String(value)}\n`,
    )
    .join('')
}
