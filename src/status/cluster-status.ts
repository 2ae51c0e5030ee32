import type { AdministeredKey } from '../operator/key-admin.ts'
import { isSilent, type ApiServerReading } from '../convergence/api-server-view.ts'
import type { ClusterReading } from '../convergence/cluster-reading.ts'
import { judgeConvergence, type Demand } from '../convergence/convergence.ts'
import type { KeyVersions } from '../storage/key-versions.ts'
import { isSilentPlugin, type PluginReading, type PluginView } from '../convergence/plugin-view.ts'
import { describeMoreMinutes } from '../time/duration.ts'
import { hashKeyId } from '../seed/key-id.ts'
import type { Report } from '../verify/report.ts'
import { sharesOf, type StoredShare } from '../verify/stored-keys.ts'
import { judgeStored } from './stored.ts'

/** A row of the table of nodes. */
export interface NodeStatus {
  readonly kind: 'plugin' | 'api server'
  readonly address: string
  /** "ok", or what is wrong. */
  readonly health: string
  readonly keyIdHash?: string | undefined
  /** Of the Transit key; undefined if it is not known, or if no version has this hash. */
  readonly keyVersion?: number | undefined
  /** When the plugin's Vault token ends (ISO 8601). */
  readonly tokenExpiresAt?: string | undefined
  /** How long ago the API server last heard from its plugin. */
  readonly heardSecondsAgo?: number | undefined
}

export interface KeyStatus {
  readonly name: string
  readonly latestVersion: number
  readonly minDecryptionVersion: number
  /** When the latest version was created (ISO 8601). */
  readonly rotatedAt?: string | undefined
  /** When the next rotation is due (ISO 8601). */
  readonly rotationDueAt?: string | undefined
  /** Who rotates: Vault automatically, or an operator by --rotate-every. */
  readonly rotatedBy?: 'vault' | 'operator' | undefined
}

/** The result of `status`. Its field names are those of the JSON output and must not change. */
export interface ClusterStatus {
  readonly ok: boolean
  /** The problems found, each a sentence. */
  readonly faults: readonly string[]
  readonly nodes: readonly NodeStatus[]
  /** Only if the key was read from Vault. */
  readonly key?: KeyStatus | undefined
  /** Only if etcd was read. */
  readonly stored?: readonly StoredShare[] | undefined
}

export interface ClusterStatusOptions {
  readonly reading: ClusterReading
  readonly demand: Demand
  readonly key?: AdministeredKey | undefined
  readonly versions?: KeyVersions | undefined
  /** Of etcd, if it was read. */
  readonly report?: Report | undefined
  /** Why Vault or etcd could not be read, one sentence each. The status is then incomplete. */
  readonly unread?: readonly string[] | undefined
  /** Whether API servers must have a KMS provider: not if their EncryptionConfiguration was passed and has none that writes. */
  readonly mustUseKms?: boolean | undefined
  /** The planned time between rotations by an operator, in milliseconds. */
  readonly rotateEvery?: number | undefined
  /** Milliseconds since 1970. */
  readonly now: number
}

/** Combines and judges what was read. */
export function makeClusterStatus(options: ClusterStatusOptions): ClusterStatus {
  const { reading, demand, key, versions, report, now } = options
  const keyStatus = key === undefined ? undefined : describeKey(key, options.rotateEvery)
  const nodes = [
    ...reading.plugins.map((plugin) => describePlugin(plugin, versions)),
    ...reading.apiServers.flatMap((server) => describeServer(server, versions)),
  ]
  const faults = [
    ...(options.unread ?? []),
    ...judgeConvergence(reading, demand).reasons,
    ...lateRotation(keyStatus, now),
    ...behind(nodes, key),
    ...(options.mustUseKms === true ? findWithoutKms(reading) : []),
    ...reading.plugins.flatMap(findGrace),
    ...reading.plugins.flatMap(findSealedFileFault),
    ...(key === undefined || versions === undefined ? [] : findUnused(reading, key, versions)),
    ...(report === undefined ? [] : judgeStored({ report, reading, key, versions })),
  ]
  return {
    ok: faults.length === 0,
    faults,
    nodes,
    key: keyStatus,
    stored: report === undefined ? undefined : sharesOf(report),
  }
}

function describePlugin(plugin: PluginReading, versions: KeyVersions | undefined): NodeStatus {
  const common = { kind: 'plugin', address: plugin.address } as const
  if (isSilentPlugin(plugin)) return { ...common, health: plugin.silence.message }
  const { ready, message, keyId, tokenExpiresAt } = plugin
  const keyIdHash = keyId === undefined ? undefined : hashKeyId(keyId)
  return {
    ...common,
    health: ready ? describeReady(plugin) : message,
    keyIdHash,
    // What the plugin reports; otherwise, what Vault reports, if the key was read.
    keyVersion: plugin.keyVersion ?? versionOf(keyIdHash, versions),
    tokenExpiresAt,
  }
}

function describeReady(plugin: PluginView): string {
  if (plugin.reason === 'ok') return 'ok'
  const left = describeLocalKeysLeft(plugin)
  const how = left === undefined ? 'in its grace' : `on local keys for ${left}`
  return `ok, ${how} (${plugin.reason})`
}

/** A line for each KMS provider, or one line without any. */
function describeServer(
  server: ApiServerReading,
  versions: KeyVersions | undefined,
): readonly NodeStatus[] {
  const common = { kind: 'api server', address: server.server } as const
  if (isSilent(server)) return [{ ...common, health: server.silence.message }]
  const health = server.fault ?? 'ok'
  if (server.keys.size === 0) return [{ ...common, health }]
  return [...server.keys.values()].map(({ hash, ageSeconds }) => ({
    ...common,
    health,
    keyIdHash: hash,
    keyVersion: versionOf(hash, versions),
    heardSecondsAgo: Math.round(ageSeconds),
  }))
}

function versionOf(keyIdHash: string | undefined, versions: KeyVersions | undefined) {
  return keyIdHash === undefined ? undefined : versions?.versionOf(keyIdHash)
}

function describeKey(key: AdministeredKey, rotateEvery: number | undefined): KeyStatus {
  const { name, latestVersion, minDecryptionVersion, autoRotateSeconds } = key
  const createdAt = key.versions.get(latestVersion)?.createdAt
  const byVault = autoRotateSeconds > 0
  const period = byVault ? autoRotateSeconds * 1000 : rotateEvery
  const rotatedAt = createdAt === undefined ? undefined : createdAt * 1000
  const dueAt = rotatedAt === undefined || period === undefined ? undefined : rotatedAt + period
  return {
    name,
    latestVersion,
    minDecryptionVersion,
    rotatedAt: isoTime(rotatedAt),
    rotationDueAt: isoTime(dueAt),
    rotatedBy: dueAt === undefined ? undefined : byVault ? 'vault' : 'operator',
  }
}

function isoTime(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString()
}

function lateRotation(key: KeyStatus | undefined, now: number): readonly string[] {
  if (key?.rotationDueAt === undefined || Date.parse(key.rotationDueAt) > now) return []
  return [
    `transit key ${key.name} was due for rotation at ${key.rotationDueAt}; run transit-bridge rotate`,
  ]
}

/** An API server without a KMS v2 key writes with another provider, or plaintext. */
function findWithoutKms({ apiServers }: ClusterReading): readonly string[] {
  return apiServers.flatMap((each) =>
    !isSilent(each) && each.keys.size === 0
      ? [`the API server ${each.server} uses no KMS v2 provider`]
      : [],
  )
}

/** With the configuration of another cluster, nothing that Vault reports is about this one. */
function findUnused(
  { apiServers }: ClusterReading,
  key: AdministeredKey,
  versions: KeyVersions,
): readonly string[] {
  const hashes = apiServers.flatMap((each) =>
    isSilent(each) ? [] : [...each.keys.values()].map(({ hash }) => hash),
  )
  if (hashes.length === 0 || hashes.some((hash) => versions.versionOf(hash) !== undefined))
    return []
  return [
    `no API server uses transit key ${key.name}; check that --config is the configuration of this cluster (transit.key, kms.clusterId)`,
  ]
}

/** For how long local keys encrypt without Vault, as /readyz counts it; undefined if they do not. */
function describeLocalKeysLeft({ offlineSecondsLeft = 0 }: PluginView): string | undefined {
  if (offlineSecondsLeft <= 0) return undefined
  return describeMoreMinutes(offlineSecondsLeft * 1000)
}

/** Without Vault, a plugin in its grace cannot decrypt what is not in its cache; one with local keys, what they do not decrypt. */
function findGrace(plugin: PluginReading): readonly string[] {
  if (isSilentPlugin(plugin) || !plugin.ready || plugin.reason === 'ok') return []
  const { address, reason } = plugin
  const left = describeLocalKeysLeft(plugin)
  return [
    left === undefined
      ? `the plugin at ${address} does not reach Vault (${reason}) and is ready only until its grace ends (kms.outageGrace)`
      : `the plugin at ${address} cannot reach Vault (${reason}); its local keys encrypt for ${left} (kms.localKeys.offlineFor)`,
  ]
}

/** The plugin works, but its node lost the start without Vault. */
function findSealedFileFault(plugin: PluginReading): readonly string[] {
  if (isSilentPlugin(plugin) || plugin.sealedFileFault === undefined) return []
  return [
    `the plugin at ${plugin.address} reports a fault of its sealed file, so its node may need Vault to start: ${plugin.sealedFileFault}`,
  ]
}

/** A rotation in Vault has no effect until the API servers write with the new version. */
function behind(nodes: readonly NodeStatus[], key: AdministeredKey | undefined): readonly string[] {
  if (key === undefined) return []
  return nodes
    .filter(({ keyVersion }) => keyVersion !== undefined && keyVersion < key.latestVersion)
    .map(
      ({ kind, address, keyVersion }) =>
        `the ${kind} ${address} has version ${String(keyVersion)} of the key, but Vault has version ${String(key.latestVersion)}`,
    )
}
