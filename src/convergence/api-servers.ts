import * as v from 'valibot'

import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { readLeases } from './api-server-leases.ts'
import { AddressReader } from './api-server-peers.ts'
import type { ClusterReading, ServersSource } from './cluster-reading.ts'
import { accessThrough, type KubeAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { check } from '../kube/discovery.ts'
import { readPlugin } from './plugin-view.ts'

const Slices = v.object({
  items: v.array(
    v.object({
      ports: v.nullish(v.array(v.object({ port: v.nullish(v.number()) })), []),
      endpoints: v.nullish(v.array(v.object({ addresses: v.array(v.string()) })), []),
    }),
  ),
})
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'

export interface ApiServersOptions {
  readonly access: KubeAccess
  /** Addresses from --api-server; empty means the endpoints of the Service `kubernetes`. */
  readonly named: readonly string[]
  readonly clock: Clock
}

/** Every API server of a cluster, each at its own address and not through a load balancer. */
export class ApiServers {
  readonly clients: readonly KubeClient[]
  readonly source: ServersSource
  readonly #readers: readonly AddressReader[]

  /** Throws KUBE_* if the endpoints are needed and cannot be read. */
  static async find({ access, named, clock }: ApiServersOptions): Promise<ApiServers> {
    const open = (server: string) => new KubeClient(accessThrough(access, server), clock)
    if (named.length > 0) return new ApiServers(named.map(open), 'named')
    const main = new KubeClient(access, clock)
    try {
      const found = await findEndpoints(main)
      if (found.length > 0) {
        main.close()
        return new ApiServers(found.map(open), 'service')
      }
      return new ApiServers([main], 'kubeconfig')
    } catch (error) {
      main.close()
      throw error
    }
  }

  private constructor(clients: readonly KubeClient[], source: ServersSource) {
    this.clients = clients
    this.source = source
    this.#readers = clients.map((client) => new AddressReader(client))
  }

  /** Receives the requests that any API server can answer. */
  get first(): KubeClient {
    const [first] = this.clients
    if (first === undefined) throw new TypeError('a cluster has at least one API server')
    return first
  }

  /** Reads all API servers and plugins at the same time. Never throws. */
  async read(plugins: readonly string[]): Promise<ClusterReading> {
    const [apiServers, leases, pluginViews] = await Promise.all([
      Promise.all(this.#readers.map((reader) => reader.read())),
      readLeases(this.clients),
      Promise.all(plugins.map(readPlugin)),
    ])
    return { apiServers: apiServers.flat(), leases, source: this.source, plugins: pluginViews }
  }

  close(): void {
    for (const client of this.clients) client.close()
  }
}

async function findEndpoints(client: KubeClient): Promise<string[]> {
  try {
    const answer = await client.get(SLICES, {
      labelSelector: 'kubernetes.io/service-name=kubernetes',
    })
    const { items } = check(Slices, answer, client)
    const found = items.flatMap(({ ports, endpoints }) => {
      const port = ports?.[0]?.port ?? 443
      const addresses = (endpoints ?? []).flatMap((each) => each.addresses)
      return addresses.map(
        (address) => `https://${address.includes(':') ? `[${address}]` : address}:${String(port)}`,
      )
    })
    return [...new Set(found)]
  } catch (error) {
    if (BridgeError.from(error).code === 'KUBE_NOT_FOUND') return []
    throw error
  }
}

const Namespace = v.object({ metadata: v.object({ uid: v.string() }) })

/** The identity of a cluster: the uid of its namespace kube-system. */
export async function readClusterUid(client: KubeClient): Promise<string> {
  const answer = await client.get('/api/v1/namespaces/kube-system')
  return check(Namespace, answer, client).metadata.uid
}
