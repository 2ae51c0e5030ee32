import * as v from 'valibot'

import type { KubeClient } from '../kube/client.ts'
import { check } from '../kube/discovery.ts'

const Leases = v.object({
  items: v.array(
    v.object({ metadata: v.object({ name: v.string(), resourceVersion: v.string() }) }),
  ),
})
const PATH = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'

/**
 * The Leases of kube-system with their versions, which are revisions of etcd. API servers renew theirs every 10 s, so no other
 * cluster has the same ones. Throws KUBE_*.
 */
export async function readLeaseRevisions(client: KubeClient): Promise<ReadonlyMap<string, string>> {
  const { items } = check(Leases, await client.get(PATH), client)
  return new Map(items.map(({ metadata: { name, resourceVersion } }) => [name, resourceVersion]))
}
