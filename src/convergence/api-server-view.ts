import { BridgeError } from '../errors.ts'
import type { KubeClient } from '../kube/client.ts'
import { oneLine } from '../text/one-line.ts'
import { readMetrics, type ApiServerMetrics } from './api-server-metrics.ts'

/** What an API server reports about its encryption. */
export interface ApiServerView extends ApiServerMetrics {
  readonly server: string
  /** Why its KMS providers are unhealthy; undefined if they are healthy. */
  readonly fault?: string | undefined
}

/** An API server that returns no answer. */
export interface SilentApiServer {
  readonly server: string
  readonly silence: BridgeError
}

export type ApiServerReading = ApiServerView | SilentApiServer

const MAX_SHOWN = 300

/** Reads the metrics of an API server; never throws. */
export async function readApiServerMetrics(client: KubeClient): Promise<ApiServerReading> {
  try {
    return { server: client.server, ...(await readMetrics(client)) }
  } catch (error) {
    return { server: client.server, silence: BridgeError.from(error) }
  }
}

/** Reads metrics and health of an API server; never throws. */
export async function readApiServer(client: KubeClient): Promise<ApiServerReading> {
  const view = await readApiServerMetrics(client)
  if (isSilent(view)) return view
  try {
    // In this order: success after the metrics were read shows that the plugin accepted an Encrypt with that key (apiserver:
    // pkg/server/options/encryptionconfig/config.go, kmsv2PluginProbe.check).
    const fault = await readHealth(client)
    return { ...view, fault }
  } catch (error) {
    return { server: client.server, silence: BridgeError.from(error) }
  }
}

export function isSilent(reading: ApiServerReading): reading is SilentApiServer {
  return 'silence' in reading
}

/** One health check for all KMS v2 providers; 404 without any (apiserver: pkg/server/options/encryptionconfig/config.go). */
async function readHealth(client: KubeClient): Promise<string | undefined> {
  const { status, body } = await client.send({
    method: 'GET',
    path: '/readyz/kms-providers',
    accept: 'text/plain',
    isFresh: true,
  })
  if (status === 200 || status === 404) return undefined
  if (status === 401 || status === 403)
    return 'the user of the kubeconfig cannot read /readyz/kms-providers; grant it get on the nonResourceURL /readyz/*'
  return oneLine(String(body), MAX_SHOWN)
}
