/** Every API server was named, and none has a Lease. */
export const NAMED = { leases: { kind: 'read', living: [] }, source: 'named' } as const
