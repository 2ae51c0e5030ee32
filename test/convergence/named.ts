import type { ClusterReading } from '../../src/convergence/cluster-reading.ts'

/** Every API server was named, and none has a Lease. */
export const NAMED = { leases: { kind: 'read', living: [] }, source: 'named' } as const

/** A reading of one API server that writes with the key of this hash, without plugins. */
export function readingOf(hash: string): ClusterReading {
  return {
    ...NAMED,
    apiServers: [
      {
        server: 'a',
        keys: new Map([['tb', { hash, ageSeconds: 1 }]]),
        writes: [{ provider: 'tb', hash, at: 1 }],
      },
    ],
    plugins: [],
  }
}
