// A kube-apiserver that starts during an outage of Vault, with the data of hundreds of starts of API servers.
import { randomBytes } from 'node:crypto'

import { EncryptedDEKSourceType } from '../../../src/gen/etcd/v2/encrypted_object_pb.ts'
import type { AuditRequest } from '../../real/vault/audit-log.ts'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { eventually } from '../../real/host/eventually.ts'
import { kmsV2Value, sealBySeed } from '../../verify/envelopes.ts'
import {
  pluginConfiguration,
  startCluster,
  type Cluster,
  type ClusterOptions,
  type Scope,
} from '../cluster.ts'
import { SECRETS } from '../stored.ts'

const PAGE = 500
const CONCURRENT = 32

export interface Scale {
  readonly seeds: number
  readonly secrets: number
  /** Of the plugin. Default: each call. */
  readonly log?: { level: string }
  /** More of kms.localKeys. */
  readonly localKeys?: Record<string, unknown>
  /** Default: the newest kube-apiserver. */
  readonly api?: NonNullable<ClusterOptions['api']>
}

export interface OfflineCluster extends Cluster {
  /** Kills and starts an API server, reads every Secret through it and writes one. Default: the first one. */
  restart(api?: KubeApiServer): Promise<Figures>
  /** Reads every Secret through an API server, and compares it. */
  readAll(api: KubeApiServer): Promise<void>
  /** Requests for calls of the API server since the last mark, by the log of the plugin and by Vault's audit file. */
  vaultRequests(): number
  mark(): void
}

export interface Figures {
  readonly readySeconds: number
  readonly readSeconds: number
  /** The name of the Secret that was written. */
  readonly written: string
}

/** A cluster whose Secrets are under many DEK seeds, as the plugin's own Encrypt wraps them. */
export async function startOfflineCluster(t: Scope, scale: Scale): Promise<OfflineCluster> {
  const kms = { localKeys: { enabled: true, ...scale.localKeys } }
  const cluster = await startCluster(t, { audit: true, kms, ...(scale.api && { api: scale.api }) })
  const { vault, proxy, api, plugin } = cluster
  if (scale.log !== undefined) {
    plugin.configure({ ...pluginConfiguration(vault, proxy, kms), log: scale.log })
    await plugin.kill()
    await plugin.restart()
    await plugin.waitForHealth('ok')
    // A plugin learns the local keys of the process before it only when its API server reads their data.
    await api.restart()
  }
  const passwords = await storeSecrets(cluster, scale)
  let since = vault.bao.auditMark()
  let firstLine = 0
  let written = 0
  return {
    ...cluster,
    mark: () => {
      since = vault.bao.auditMark()
      firstLine = plugin.logLines().length
    },
    vaultRequests: () => {
      const calls = plugin.logLines().slice(firstLine).filter(isCall)
      if (calls.length === 0) throw new Error('the API server called nothing')
      const logged = calls.filter((line) => line['vault_requests'] !== 0)
      return logged.length + vault.bao.auditRequests({ since }).filter(isForCall).length
    },
    readAll: (server) => readAll(server, passwords),
    restart: async (server = api) => {
      const startedAt = performance.now()
      await server.kill()
      await server.restart({ waitReady: false })
      await eventually(
        'the API server to be ready',
        async () => (await server.readyz()).status === 200,
        {
          timeoutMs: 60_000,
          intervalMs: 50,
        },
      )
      const readyAt = performance.now()
      await readAll(server, passwords)
      const readAt = performance.now()
      const name = `written-${String((written += 1))}`
      const password = randomBytes(16).toString('hex')
      await server.createSecret('default', name, { password })
      passwords.set(name, password)
      return {
        readySeconds: (readyAt - startedAt) / 1000,
        readSeconds: (readAt - readyAt) / 1000,
        written: name,
      }
    },
  }
}

const isCall = ({ method }: Record<string, unknown>) => method === 'Encrypt' || method === 'Decrypt'

const isForCall = ({ path, headers }: AuditRequest) =>
  path.startsWith('transit/') && !headers['x-transit-bridge-uid']?.[0]?.startsWith('check-')

/** Stores Secrets as as many API servers would that each made one seed; returns their passwords by name. */
async function storeSecrets(cluster: Cluster, scale: Scale): Promise<Map<string, string>> {
  const { plugin, etcd, api } = cluster
  await api.createSecret('default', 'first', { password: 'first' })
  const wrapped = await mapConcurrently(scale.seeds, async () => {
    const seed = randomBytes(32)
    return { seed, ...(await plugin.client.encrypt(seed)) }
  })
  const passwords = new Map([['first', 'first']])
  await mapConcurrently(scale.secrets, async (at) => {
    const name = `stored-${String(at)}`
    const password = randomBytes(16).toString('hex')
    const key = `${SECRETS}default/${name}`
    const use = wrapped[at % wrapped.length]
    if (use === undefined) throw new Error('there is no seed')
    const { seed, ciphertext, keyId, annotations } = use
    const data = sealBySeed(seed, key, renderSecret(name, password))
    const type = EncryptedDEKSourceType.HKDF_SHA256_XNONCE_AES_GCM_SEED
    await etcd.put(key, kmsV2Value({ keyId, source: ciphertext, annotations, type, data }))
    passwords.set(name, password)
  })
  return passwords
}

/** As kube-apiserver accepts it from etcd: JSON is recognized, too (runtime/serializer/recognizer). */
function renderSecret(name: string, password: string): string {
  return JSON.stringify({
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { name, namespace: 'default', uid: crypto.randomUUID() },
    data: { password: Buffer.from(password).toString('base64') },
    type: 'Opaque',
  })
}

/** Reads every Secret and compares it. */
async function readAll(api: KubeApiServer, passwords: ReadonlyMap<string, string>): Promise<void> {
  let found = 0
  let next = ''
  do {
    const query = `limit=${String(PAGE)}&continue=${encodeURIComponent(next)}`
    const page = await api.api('GET', `/api/v1/namespaces/default/secrets?${query}`)
    for (const { metadata, data } of page.items as SecretItem[]) {
      const password = Buffer.from(data['password'] ?? '', 'base64').toString()
      if (passwords.get(metadata.name) !== password)
        throw new Error(`Secret ${metadata.name} has another password`)
      found += 1
    }
    next = String(page.metadata.continue ?? '')
  } while (next !== '')
  if (found !== passwords.size)
    throw new Error(`found ${String(found)} of ${String(passwords.size)} Secrets`)
}

interface SecretItem {
  readonly metadata: { readonly name: string }
  readonly data: Record<string, string>
}

async function mapConcurrently<T>(count: number, work: (at: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const run = async () => {
    while (next < count) {
      const at = next
      next += 1
      results[at] = await work(at)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENT }, run))
  return results
}
