import { isSilent, type ApiServerView } from './api-server-view.ts'
import type { ClusterReading } from './cluster-reading.ts'

const NAME_THEM = "pass each API server's own address with --api-server URL"

/** Why some API servers may not have been read, each a sentence. Waiting does not change it. */
export function findUnseen(reading: ClusterReading): readonly string[] {
  const views = reading.apiServers.filter((each): each is ApiServerView => !isSilent(each))
  return [...findShared(views), ...findUnread(reading, views)]
}

/** Addresses of load balancers: what was read and what is written can be of different API servers. */
function findShared(views: readonly ApiServerView[]): readonly string[] {
  const byServer = Map.groupBy(views, ({ server }) => server)
  return [...byServer]
    .filter(([, { length }]) => length > 1)
    .map(
      ([server, { length }]) =>
        `at least ${String(length)} API servers answer at ${server}, so it is the address of a load balancer; ${NAME_THEM}`,
    )
}

/** API servers that are alive by their Leases and were not among those that were asked. */
function findUnread(
  { leases, source, apiServers }: ClusterReading,
  views: readonly ApiServerView[],
): readonly string[] {
  if (leases.kind !== 'read') {
    // Each API server adds itself to the endpoints; without an answer, that is the reason to report.
    if (source === 'service' || views.length === 0) return []
    return [leases.kind === 'denied' ? DENIED : FAILED]
  }
  const { living } = leases
  if (living.length === 0) return source === 'kubeconfig' ? [ALONE] : []
  const seen = new Set(views.map(({ id }) => id))
  // One that was asked and is silent is reported separately, and its identity is not known.
  const silent = apiServers.length - views.length
  if (seen.has(undefined)) {
    const missing = living.length - apiServers.length
    return missing <= 0 ? [] : [`${String(missing)} API servers were not read; ${NAME_THEM}`]
  }
  const unread = living.filter(({ id }) => !seen.has(id))
  if (unread.length <= silent) return []
  const hosts = unread.map(({ hostname }) => hostname).join(', ')
  return [`the cluster has API servers that were not read (${hosts}); ${NAME_THEM}`]
}

const DENIED =
  'whether there are other API servers is unknown, because the user of the kubeconfig cannot list the Leases of kube-system; grant it list on leases.coordination.k8s.io there'
const FAILED =
  'whether there are other API servers is unknown, because the Leases of kube-system could not be read'
const ALONE = `nothing shows whether there are other API servers: the Service kubernetes has no endpoints, and no API server has a Lease; ${NAME_THEM}`
