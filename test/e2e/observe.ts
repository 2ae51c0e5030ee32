import type { KubeApiServer } from '../real/cluster/kube-api-server.ts'
import type { Plugin } from '../real/program/plugin.ts'
import { findSamples } from '../real/cluster/prometheus-text.ts'
import { eventually } from '../real/host/eventually.ts'
import { hashOf } from './stored.ts'

/** An API server keeps a good answer of Status for 20 s and asks again at the next look at its health. */
const NOTICE = { timeoutMs: 40_000, intervalMs: 500 }

const CALLS = 'transit_bridge_kms_request_duration_seconds_count'

/** Calls that a plugin has answered, by its own metrics. */
export async function pluginCalls(
  plugin: Plugin,
  labels: { method: string; code?: string },
): Promise<number> {
  return total(findSamples(await metricsAsOfNow(plugin), CALLS, labels))
}

/** Requests of a plugin to Vault, by its own metrics. */
export async function vaultRequests(plugin: Plugin, operation: string): Promise<number> {
  return total(
    findSamples(
      await metricsAsOfNow(plugin),
      'transit_bridge_vault_request_duration_seconds_count',
      { operation },
    ),
  )
}

/** Calls of KMS v2 as an API server counts them. */
export async function apiServerCalls(
  api: KubeApiServer,
  method: string,
  code: string,
): Promise<number> {
  const name = 'apiserver_envelope_encryption_kms_operations_latency_seconds_count'
  const method_name = `/v2.KeyManagementService/${method}`
  return total(await api.samples(name, { method_name, grpc_status_code: code }))
}

/** When an API server last got this key id from Status (seconds since 1970), 0 if never. */
export async function lastStatus(api: KubeApiServer, keyId: string): Promise<number> {
  const name = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
  const [sample] = await api.samples(name, { key_id_hash: hashOf(keyId) })
  return sample?.value ?? 0
}

/** How often an API server used this key id to read or to write. */
export async function keyIdUses(
  api: KubeApiServer,
  keyId: string,
  direction: 'from_storage' | 'to_storage',
): Promise<number> {
  const labels = { key_id_hash: hashOf(keyId), transformation_type: direction }
  return total(await api.samples('apiserver_envelope_encryption_key_id_hash_total', labels))
}

/** Waits until a plugin announces a key id other than `before`. */
export async function newKeyId(plugin: Plugin, before: string): Promise<string> {
  return eventually('a new key id in Status', async () => {
    const { keyId } = await plugin.client.status()
    return keyId !== before && keyId
  })
}

/** When an API server last read or wrote under this key id (seconds since 1970), 0 if never. */
export async function lastUse(
  api: KubeApiServer,
  keyId: string,
  direction: 'from_storage' | 'to_storage',
): Promise<number> {
  const name = 'apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds'
  const labels = { key_id_hash: hashOf(keyId), transformation_type: direction }
  return (await api.samples(name, labels))[0]?.value ?? 0
}

/** Looks at an API server's health, which makes it ask for Status, until it has seen this key id. */
export async function noticed(api: KubeApiServer, keyId: string): Promise<void> {
  await eventually(
    'the API server to see the key id',
    async () => {
      await api.readyz('kms-providers')
      return (await lastStatus(api, keyId)) > 0
    },
    NOTICE,
  )
}

/** Waits until the API server's own check of its KMS providers is ok, or fails with words that match. */
export async function kmsProviders(
  api: KubeApiServer,
  expected: 'ok' | RegExp,
  patience = NOTICE,
): Promise<string> {
  return eventually(
    `/readyz/kms-providers ${String(expected)}`,
    async () => {
      const { status, text } = await api.readyz('kms-providers')
      const holds = expected === 'ok' ? status === 200 : status === 500 && expected.test(text)
      if (!holds) throw new Error(`${String(status)} ${text}`)
      return text
    },
    patience,
  )
}

/** Waits until the API server has loaded its EncryptionConfiguration again this often, with this result. */
export async function reloads(api: KubeApiServer, status: string, atLeast: number): Promise<void> {
  const name = 'apiserver_encryption_config_controller_automatic_reloads_total'
  await eventually(
    `${String(atLeast)} reloads that are a ${status}`,
    async () => ((await api.samples(name, { status }))[0]?.value ?? 0) >= atLeast,
    // Up to a minute until it looks, and ten seconds for the new plugin to be healthy.
    { timeoutMs: 90_000, intervalMs: 500 },
  )
}

/** A plugin's metrics as they are now: one rendering of them serves every scrape of the next second. */
async function metricsAsOfNow(plugin: Plugin): Promise<string> {
  const scrape = async () => {
    const { text } = await plugin.admin('/metrics')
    return { text, calls: total(findSamples(text, CALLS, { method: 'Status' })) }
  }
  const { calls } = await scrape()
  await plugin.client.status()
  return eventually('metrics that are rendered again', async () => {
    const latest = await scrape()
    return latest.calls > calls && latest.text
  })
}

function total(samples: { value: number }[]): number {
  return samples.reduce((sum, { value }) => sum + value, 0)
}
