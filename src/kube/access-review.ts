import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import type { KubeClient } from './client.ts'
import { check, type ServedResource } from './discovery.ts'
import { formatResource, type Resource } from './resource.ts'

const Review = v.object({ status: v.object({ allowed: v.boolean() }) })
const PATH = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'

/** Throws KUBE_DENIED with every missing right unless this user has each verb on each resource in all namespaces. */
export async function requireRights(
  client: KubeClient,
  resources: readonly ServedResource[],
  verbs: readonly string[],
): Promise<void> {
  const missing: string[] = []
  for (const { resource } of resources) {
    for (const verb of verbs) {
      const attributes = { verb, group: resource.group, resource: resource.name }
      if (!(await isAllowed(client, attributes)))
        missing.push(`${verb} ${formatResource(resource)}`)
    }
  }
  if (missing.length === 0) return
  throw new BridgeError(
    'KUBE_DENIED',
    `the user of the kubeconfig lacks these rights in all namespaces: ${missing.join(', ')}; grant them with a ClusterRole, or use the cluster administrator`,
  )
}

/** Whether this user has each verb on a resource of a group. */
export async function hasRights(
  client: KubeClient,
  { group, name: resource }: Resource,
  verbs: readonly string[],
): Promise<boolean> {
  for (const verb of verbs) if (!(await isAllowed(client, { verb, group, resource }))) return false
  return true
}

async function isAllowed(client: KubeClient, resourceAttributes: object): Promise<boolean> {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes },
  }
  const answer = await client.read({ method: 'POST', path: PATH, body })
  return check(Review, answer, client).status.allowed
}
