import { createHash } from 'node:crypto'
import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import type { KubeClient } from '../kube/client.ts'
import { check } from '../kube/discovery.ts'

/** An API server that renews its identity Lease, as every API server does since Kubernetes 1.26 (KEP-1965). */
export interface LivingApiServer {
  /** As in the label `apiserver_id_hash` of its metrics. */
  readonly id: string
  readonly hostname: string
}

/** The API servers of a cluster by their Leases. `failed`: no API server returned them. */
export type LeaseReading =
  | { readonly kind: 'read'; readonly living: readonly LivingApiServer[] }
  | { readonly kind: 'denied' | 'failed' }

const Leases = v.object({
  items: v.array(
    v.object({
      metadata: v.object({
        name: v.string(),
        labels: v.optional(v.record(v.string(), v.string()), {}),
      }),
      spec: v.object({ renewTime: v.nullish(v.string()) }),
    }),
  ),
})
const PATH = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
const SELECTOR = 'apiserver.kubernetes.io/identity=kube-apiserver'
/**
 * An API server renews its Lease every 10 s (kubernetes: pkg/controlplane/apiserver/server.go,
 * IdentityLeaseRenewIntervalPeriod).
 */
const MAX_LEASE_AGE_MS = 60_000

/** Reads the Leases from the first API server that answers. Never throws. */
export async function readLeases(clients: readonly KubeClient[]): Promise<LeaseReading> {
  for (const client of clients) {
    const reading = await readFrom(client)
    if (reading.kind !== 'failed') return reading
  }
  return { kind: 'failed' }
}

/** A Lease that is a minute older than the newest belongs to an API server that is gone. */
async function readFrom(client: KubeClient): Promise<LeaseReading> {
  try {
    const { items } = check(Leases, await client.get(PATH, { labelSelector: SELECTOR }), client)
    const leases = items.map(({ metadata: { name, labels }, spec }) => ({
      id: `sha256:${createHash('sha256').update(name).digest('hex')}`,
      hostname: labels['kubernetes.io/hostname'] ?? name,
      renewedAt: Date.parse(spec.renewTime ?? ''),
    }))
    const newest = Math.max(...leases.map(({ renewedAt }) => renewedAt))
    const living = leases.filter(({ renewedAt }) => newest - renewedAt < MAX_LEASE_AGE_MS)
    return { kind: 'read', living }
  } catch (error) {
    return { kind: BridgeError.from(error).code === 'KUBE_DENIED' ? 'denied' : 'failed' }
  }
}
