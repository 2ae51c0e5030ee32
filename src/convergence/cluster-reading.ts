import type { LeaseReading } from './api-server-leases.ts'
import type { ApiServerReading } from './api-server-view.ts'
import type { PluginReading } from './plugin-view.ts'

/** How the API servers were found: --api-server, the endpoints of the Service `kubernetes`, or the kubeconfig alone. */
export type ServersSource = 'named' | 'service' | 'kubeconfig'

/** The answers of all API servers and plugins at one time. */
export interface ClusterReading {
  /** Several have the same address if a load balancer is in front of them. */
  readonly apiServers: readonly ApiServerReading[]
  readonly leases: LeaseReading
  readonly source: ServersSource
  readonly plugins: readonly PluginReading[]
}
