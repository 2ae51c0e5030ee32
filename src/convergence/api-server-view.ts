import { BridgeError } from '../errors.ts'
import type { KubeClient } from '../kube/client.ts'
import { oneLine } from '../text/one-line.ts'
import { readSample } from '../kube/metric-sample.ts'

/** The key that an API server last heard of from a KMS v2 plugin. */
export interface SeenKey {
  /** `sha256:<hex>` of the key id. */
  readonly hash: string
  /** How long ago the plugin last said so, in seconds, by the API server's own clock. */
  readonly ageSeconds: number
}

/** What one API server says of its encryption. */
export interface ApiServerView {
  readonly server: string
  /** By name of the KMS provider. */
  readonly keys: ReadonlyMap<string, SeenKey>
  /** Of the EncryptionConfiguration in use; undefined before Kubernetes 1.34, and where it is not reloaded. */
  readonly configHash?: string
  /** Of the process, so that two addresses of one server can be told; undefined where there is no KMS. */
  readonly id?: string
  /** Why its KMS providers are not well; undefined if they are. */
  readonly fault?: string
}

/** An API server that could not be asked. */
export interface SilentApiServer {
  readonly server: string
  readonly silence: BridgeError
}

export type ApiServerReading = ApiServerView | SilentApiServer

const STATUS = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
const CONFIG = 'apiserver_encryption_config_controller_last_config_info'
const MAX_SHOWN = 300

/** Asks one API server; never throws. */
export async function readApiServer(client: KubeClient): Promise<ApiServerReading> {
  try {
    const facts = await readMetrics(client)
    // In this order: a check that is well after the metrics shows that the key in them is in use, and not only heard of.
    const fault = await readHealth(client)
    return { server: client.server, ...facts, ...(fault === undefined ? {} : { fault }) }
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
    ...(configHash === undefined ? {} : { configHash }),
    ...(id === undefined ? {} : { id }),
  }
}

/** One check for all KMS v2 providers; 404 where there is none (apiserver: server/options/encryptionconfig/config.go). */
async function readHealth(client: KubeClient): Promise<string | undefined> {
  const { status, body } = await client.send({
    method: 'GET',
    path: '/readyz/kms-providers',
    accept: 'text/plain',
  })
  if (status === 200 || status === 404) return undefined
  if (status === 401 || status === 403)
    return 'this user may not see /readyz/kms-providers; grant it get on the nonResourceURL /readyz/*'
  return oneLine(String(body), MAX_SHOWN)
}
