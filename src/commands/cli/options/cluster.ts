import type { ApiServers } from '../../../convergence/api-servers.ts'
import type { Demand } from '../../../convergence/convergence.ts'
import { listKmsWriters, type EncryptionFile } from '../../../encryption/rules-file.ts'
import { readLeaseRevisions } from '../../../convergence/lease-revisions.ts'
import type { ThisCluster } from '../../../verify/wrong-cluster.ts'
import { findCluster } from '../../../kube/find-cluster.ts'
import type { Clock } from '../../../time/clock.ts'
import { flag, grouped, repeated, text, usageError, type ValuesOf } from '../option.ts'
import { warn, type Terminal } from '../terminal.ts'

/** How a command finds the cluster and its API servers. */
export const clusterAccessOptions = grouped('Cluster options', {
  kubeconfig: text(
    'FILE',
    'Kubeconfig of the cluster. Default: $KUBECONFIG, ~/.kube/config, or the service account of the pod.',
  ),
  context: text('NAME', 'Context of the kubeconfig. Default: the current context.'),
  apiServer: repeated(
    'URL',
    'Address of one API server. Repeat it for each API server. Default: the endpoints of the Service kubernetes.',
  ),
})

/** With the plugins, and what the API servers must agree on. */
export const clusterOptions = {
  ...clusterAccessOptions,
  ...grouped('Cluster options', {
    plugin: repeated(
      'URL',
      'Address of the admin server of a plugin, such as http://192.0.2.10:9390. Repeat it for each plugin.',
    ),
    configsMayDiffer: flag(
      'Do not require that all API servers report the same hash of the EncryptionConfiguration. Use it only if the order of the providers is the same in all of them.',
    ),
  }),
}

export type ClusterAccessValues = ValuesOf<typeof clusterAccessOptions>

/** Opens the cluster that the options name. Throws USAGE_INVALID, CONFIG_INVALID or KUBE_*. */
export async function openCluster(
  { kubeconfig, context, apiServer }: ClusterAccessValues,
  { environment, stderr }: Pick<Terminal, 'environment' | 'stderr'>,
  clock: Clock,
): Promise<ApiServers> {
  const named = apiServer.map((url) => readOrigin('api-server', url, 'https'))
  const access = await findCluster({ environment, kubeconfig, context })
  const { ApiServers: Found } = await import('../../../convergence/api-servers.ts')
  const servers = await Found.find({ access, named, clock })
  if (servers.source === 'kubeconfig') {
    warn(
      { stderr },
      `the Service kubernetes has no endpoints, so only ${access.server} is asked; name the other API servers with --api-server URL`,
    )
  }
  return servers
}

/** What proves that an etcd belongs to the cluster with this uid. */
export function identifyCluster(servers: ApiServers, uid: string): ThisCluster {
  return { uid, readLeases: () => readLeaseRevisions(servers.first) }
}

/** What API servers must agree on. */
export function makeDemand(
  file: EncryptionFile | undefined,
  { configsMayDiffer }: { readonly configsMayDiffer: boolean },
): Demand {
  if (file === undefined) return { configsMayDiffer }
  return { configHash: file.hash, writers: listKmsWriters(file.rules), configsMayDiffer }
}

/** Addresses of the admin servers of plugins. */
export function readPlugins({ plugin }: { readonly plugin: readonly string[] }): readonly string[] {
  return plugin.map((url) => readOrigin('plugin', url, 'http'))
}

function readOrigin(option: string, given: string, scheme: 'http' | 'https'): string {
  const url = URL.parse(given.includes('://') ? given : `${scheme}://${given}`)
  const isRight =
    url !== null &&
    (url.protocol === `${scheme}:` || (scheme === 'http' && url.protocol === 'https:')) &&
    url.pathname === '/' &&
    url.username === ''
  if (isRight) return url.origin
  const example = scheme === 'https' ? 'https://192.0.2.10:6443' : 'http://127.0.0.1:9390'
  throw usageError(
    `--${option}: ${JSON.stringify(given)} is not an address; write it like ${example}`,
  )
}
