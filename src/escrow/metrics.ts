import type { Definition } from '../telemetry/metrics/definition.ts'
import type { EscrowManifest } from './manifest.ts'
import { isComplete, type Coverage } from './reading.ts'

/** What `escrow check --prometheus-file` writes. No server exports these. */
export const escrowMetrics = {
  coveredRatio: {
    type: 'gauge',
    name: 'transit_bridge_escrow_covered_ratio',
    help: 'Encrypted objects in etcd that the escrow covers, from 0 to 1.',
    lookFor: 'Below 1: create a new escrow. No series: no check has run.',
  },
  createdTime: {
    type: 'gauge',
    name: 'transit_bridge_escrow_created_timestamp_seconds',
    help: 'When the escrow was created, in seconds since 1970. No series if it cannot be read.',
    lookFor: 'Longer ago than the timer that creates escrows allows: the check reads an old one.',
  },
  checkedTime: {
    type: 'gauge',
    name: 'transit_bridge_escrow_checked_timestamp_seconds',
    help: 'When the escrow was last checked, in seconds since 1970.',
    lookFor: 'More than two days ago: the timer of the check does not run.',
  },
} as const satisfies Readonly<Record<string, Definition>>

type Sample = readonly [metric: keyof typeof escrowMetrics, value: number]

/** The result of a check in the text format of Prometheus. The ratio is 1 only if everything is proved to be covered. */
export function formatMetrics(manifest: EscrowManifest, coverage: Coverage, now: number): string {
  const { encrypted, covered } = coverage
  const share = encrypted === 0 ? 0 : covered / encrypted
  const ratio = isComplete(coverage) ? 1 : Math.min(share, 0.999999)
  return format([
    ['coveredRatio', ratio],
    ['createdTime', toSeconds(Date.parse(manifest.createdAt))],
    ['checkedTime', toSeconds(now)],
  ])
}

/** The same for an escrow that cannot be read: it covers nothing. */
export function formatMetricsOfUnreadable(now: number): string {
  return format([
    ['coveredRatio', 0],
    ['checkedTime', toSeconds(now)],
  ])
}

function toSeconds(time: number): number {
  return Math.floor(time / 1000)
}

function format(samples: readonly Sample[]): string {
  return samples
    .map(([metric, value]) => {
      const { name, type, help } = escrowMetrics[metric]
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${String(value)}\n`
    })
    .join('')
}
