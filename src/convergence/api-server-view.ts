import { BridgeError } from '../errors.ts'
import type { KubeClient } from '../kube/client.ts'
import { oneLine } from '../text/one-line.ts'
import { readSample } from '../kube/metric-sample.ts'

/** The key id that an API server last received from a KMS v2 plugin. */
export interface SeenKey {
  /** `sha256:<hex>` of the key id. */
  readonly hash: string
  /** Time since the plugin last reported it, by the API server's clock. */
  readonly ageSeconds: number
}

/** What an API server reports about its encryption. */
export interface ApiServerView {
  readonly server: string
  /** By name of the KMS provider. */
  readonly keys: ReadonlyMap<string, SeenKey>
  /** Of the EncryptionConfiguration in use; undefined before Kubernetes 1.34 and without automatic reload. */
  readonly configHash?: string | undefined
  /** Of the process, which tells API servers behind one address apart; undefined without KMS v2. */
  readonly id?: string | undefined
  /** Why its KMS providers are unhealthy; undefined if they are healthy. */
  readonly fault?: string | undefined
}

/** An API server that returns no answer. */
export interface SilentApiServer {
  readonly server: string
  readonly silence: BridgeError
}

export type ApiServerReading = ApiServerView | SilentApiServer

const STATUS = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
const CONFIG = 'apiserver_encryption_config_controller_last_config_info'
const MAX_SHOWN = 300

/** Reads metrics and health of an API server; never throws. */
export async function readApiServer(client: KubeClient): Promise<ApiServerReading> {
  try {
    const facts = await readMetrics(client)
    // In this order: success after the metrics were read shows that the plugin accepted an Encrypt with that key (apiserver:
    // pkg/server/options/encryptionconfig/config.go, kmsv2PluginProbe.check).
    const fault = await readHealth(client)
    return { server: client.server, ...facts, fault }
  } catch (error) {
    return { server: client.server, silence: BridgeError.from(error) }
  }
}

export function isSilent(reading: ApiServerReading): reading is SilentApiServer {
  return 'silence' in reading
}

async function readMetrics(client: KubeClient) {
  const { lines, time } = await client.lines('/metrics')
  const newest = new Map<string, { hash: string; at: number }>()
  let configHash: string | undefined
  let id: string | undefined
  for await (const line of lines) {
    const status = readSample(line, STATUS)
    if (status !== undefined) {
      const { provider_name: provider = '', key_id_hash: hash = '' } = status.labels
      const known = newest.get(provider)
      if (known === undefined || status.value > known.at)
        newest.set(provider, { hash, at: status.value })
      id ??= status.labels['apiserver_id_hash']
    }
    configHash = readSample(line, CONFIG)?.labels['hash'] ?? configHash
  }
  const now = (time ?? Date.now()) / 1000
  const keys = [...newest].map(
    ([provider, { hash, at }]) => [provider, { hash, ageSeconds: Math.max(0, now - at) }] as const,
  )
  return {
    keys: new Map(keys),
    configHash,
    id,
  }
}

/** One health check for all KMS v2 providers; 404 without any (apiserver: pkg/server/options/encryptionconfig/config.go). */
async function readHealth(client: KubeClient): Promise<string | undefined> {
  const { status, body } = await client.send({
    method: 'GET',
    path: '/readyz/kms-providers',
    accept: 'text/plain',
  })
  if (status === 200 || status === 404) return undefined
  if (status === 401 || status === 403)
    return 'the user of the kubeconfig cannot read /readyz/kms-providers; grant it get on the nonResourceURL /readyz/*'
  return oneLine(String(body), MAX_SHOWN)
}
