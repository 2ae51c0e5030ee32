import type { Report } from '../../src/verify/report.ts'
import { NO_FAULTS } from '../verify/no-faults.ts'

/** A report of etcd with five Secrets under each of these versions of the key. */
export function reportOf(versions: readonly number[], hashOf: (version: number) => string): Report {
  const groups = versions.map((keyVersion) => ({
    provider: 'kms v2 tb',
    objects: 5,
    seeds: 1,
    keyVersion,
    keyIdHash: hashOf(keyVersion),
  }))
  return {
    ok: true,
    source: 'etcd',
    prefix: '/registry/',
    revisions: [],
    depth: 'envelopes',
    objects: 5,
    seeds: 1,
    plain: 0,
    unreadable: 0,
    unproven: 0,
    gaps: [],
    resources: [{ resource: 'secrets', toBeEncrypted: true, objects: 5, ...NO_FAULTS, groups }],
    keyVersionsNeeded: [{ provider: 'kms v2 tb', versions }],
  }
}
