import { isSilent, type ApiServerView } from './api-server-view.ts'
import type { ClusterReading } from './cluster-reading.ts'
import { isSilentPlugin, type PluginReading } from './plugin-view.ts'
import { findUnseen } from './unseen-servers.ts'
import { hashKeyId } from '../seed/key-id.ts'

/** Whether every API server encrypts with the same key. */
export interface Convergence {
  readonly isReached: boolean
  /** Why not, each a sentence. */
  readonly reasons: readonly string[]
  /** Those of the reasons that waiting does not change: API servers that were not read. */
  readonly unseen: readonly string[]
  /** The write key by KMS provider; without the providers on which API servers disagree. */
  readonly hashes: ReadonlyMap<string, string>
  /** Of the EncryptionConfigurations in use, sorted. */
  readonly configHashes: readonly string[]
}

/** What API servers must agree on. */
export interface Demand {
  /** The hash of the required key id; undefined means any, if it is the same everywhere. */
  readonly wanted?: string | undefined
  /** The hash of the EncryptionConfiguration that every API server must use; undefined means any, if it is the same. */
  readonly configHash?: string | undefined
  /** Whether different EncryptionConfigurations are accepted, for example with different socket paths. */
  readonly configsMayDiffer?: boolean
}

/** An API server polls a healthy plugin every minute and stops writing after three minutes without an answer (apiserver: pkg/server/options/encryptionconfig/config.go, kmsv2PluginHealthzPositiveInterval and kmsv2 envelope.go, State.ValidateEncryptCapability). */
const MAX_SILENCE_SECONDS = 180
const CONFIG_UNKNOWN =
  'does not report the hash of its EncryptionConfiguration (Kubernetes before 1.34), so it is not proved which provider writes; compare the files and pass --configs-may-differ'
const CONFIG_OTHER =
  'uses another EncryptionConfiguration than the file in --encryption-config; pass the exact file that it uses (comments count), wait a minute after a change, or pass --configs-may-differ if the order of the providers is the same'
const CONFIGS_DIFFER =
  'the API servers have different EncryptionConfigurations; give all of them the same file and wait a minute, or pass --configs-may-differ if the files differ only in a socket path'

/**
 * Judges a reading. An API server considers an object stale if it is not encrypted with that API server's own write key, so
 * one with an old key would rewrite new data under the old key (apiserver: pkg/storage/value/encrypt/envelope/kmsv2/envelope.go,
 * TransformFromStorage). All must agree before anything is rewritten.
 */
export function judgeConvergence(reading: ClusterReading, demand: Demand = {}): Convergence {
  const { wanted, configHash: expected, configsMayDiffer = false } = demand
  const views = reading.apiServers.filter((each): each is ApiServerView => !isSilent(each))
  const hashes = agreedHashes(views)
  const configHashes = new Set(views.flatMap(({ configHash }) => configHash ?? []))
  const unseen = findUnseen(reading)
  const reasons = [
    ...unseen,
    ...reading.apiServers.flatMap((each) =>
      isSilent(each) ? [each.silence.message] : faultsOf(each, wanted),
    ),
    ...disagreements(views),
    ...(configsMayDiffer ? [] : findConfigFaults(views, expected)),
    ...reading.plugins.flatMap((each) => pluginFaults(each, wanted, hashes)),
  ]
  return {
    isReached: reasons.length === 0,
    reasons,
    unseen,
    hashes,
    configHashes: [...configHashes].toSorted(),
  }
}

function faultsOf(view: ApiServerView, wanted: string | undefined): string[] {
  const faults =
    view.fault === undefined
      ? []
      : [`the KMS providers of ${view.server} are unhealthy: ${view.fault}`]
  for (const [provider, { ageSeconds }] of view.keys) {
    if (ageSeconds > MAX_SILENCE_SECONDS)
      faults.push(
        `${view.server} has not heard from its plugin ${provider} for ${String(Math.round(ageSeconds))} s`,
      )
  }
  if (wanted !== undefined && ![...view.keys.values()].some(({ hash }) => hash === wanted)) {
    const now = [...view.keys.values()].map(({ hash }) => shorten(hash)).join(', ') || 'none'
    faults.push(`${view.server} does not use key ${shorten(wanted)} yet (now: ${now})`)
  }
  return faults
}

/** The order of providers is in the file alone, and with it which of them writes: a key id from Status does not show it. */
function findConfigFaults(views: readonly ApiServerView[], expected: string | undefined): string[] {
  const isCompared = expected !== undefined || views.length > 1
  const unknown = views.filter(({ configHash }) => isCompared && configHash === undefined)
  const hashes = new Set(views.flatMap(({ configHash }) => configHash ?? []))
  const other = views.filter(
    ({ configHash }) =>
      expected !== undefined && configHash !== undefined && configHash !== expected,
  )
  return [
    ...unknown.map(({ server }) => `${server} ${CONFIG_UNKNOWN}`),
    ...other.map(({ server }) => `${server} ${CONFIG_OTHER}`),
    ...(hashes.size > 1 && other.length === 0 ? [CONFIGS_DIFFER] : []),
  ]
}

/** Providers whose newest key differs between API servers. */
function disagreements(views: readonly ApiServerView[]): string[] {
  return providersOf(views).flatMap((provider) => {
    const lines = views.map((view) => {
      const key = view.keys.get(provider)
      return { server: view.server, hash: key?.hash ?? 'none' }
    })
    if (new Set(lines.map(({ hash }) => hash)).size < 2) return []
    const shown = lines.map(({ server, hash }) => `${server}: ${shorten(hash)}`).join('; ')
    return [`the API servers have different keys of provider ${provider} (${shown})`]
  })
}

function agreedHashes(views: readonly ApiServerView[]): Map<string, string> {
  const agreed = new Map<string, string>()
  for (const provider of providersOf(views)) {
    const hashes = new Set(views.map(({ keys }) => keys.get(provider)?.hash))
    const [hash] = hashes
    if (hashes.size === 1 && hash !== undefined) agreed.set(provider, hash)
  }
  return agreed
}

function providersOf(views: readonly ApiServerView[]): readonly string[] {
  return [...new Set(views.flatMap(({ keys }) => [...keys.keys()]))]
}

function pluginFaults(
  plugin: PluginReading,
  wanted: string | undefined,
  hashes: ReadonlyMap<string, string>,
): string[] {
  if (isSilentPlugin(plugin)) return [plugin.silence.message]
  const { address, ready, message, keyId } = plugin
  if (!ready) return [`the plugin at ${address} is not ready: ${message}`]
  if (keyId === undefined) return [`the plugin at ${address} has no key yet`]
  const hash = hashKeyId(keyId)
  if (wanted !== undefined && hash !== wanted)
    return [
      `the plugin at ${address} does not announce key ${shorten(wanted)} yet (now: ${shorten(hash)})`,
    ]
  if (wanted === undefined && ![...hashes.values()].includes(hash) && hashes.size > 0)
    return [
      `the plugin at ${address} announces key ${shorten(hash)}, which the API servers do not use yet`,
    ]
  return []
}

/** The part of a hash that messages show. */
export function shorten(hash: string): string {
  return hash.replace(/^sha256:/, '').slice(0, 12)
}
