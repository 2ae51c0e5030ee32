import { isSilent, type ApiServerReading, type ApiServerView } from './api-server-view.ts'
import { isSilentPlugin, type PluginReading } from './plugin-view.ts'
import { hashKeyId } from '../seed/key-id.ts'

/** All that was asked at one time. */
export interface ClusterReading {
  readonly apiServers: readonly ApiServerReading[]
  readonly plugins: readonly PluginReading[]
}

/** Whether every API server writes with the same key, and the reasons why not, each a sentence. */
export interface Convergence {
  readonly isReached: boolean
  readonly reasons: readonly string[]
  /** The key that all write with, by KMS provider; only if they agree. */
  readonly hashes: ReadonlyMap<string, string>
  /** Of the EncryptionConfigurations in use. */
  readonly configHashes: readonly string[]
}

/** What is asked of the API servers beyond that they agree. */
export interface Demand {
  /** The hash of the key id that all are to have; undefined: any, as long as it is the same. */
  readonly wanted?: string
  /** Whether files that differ are right: in the path of a socket, say. */
  readonly configsMayDiffer?: boolean
}

/** An API server asks once a minute while all is well, and refuses to write after three (config.go). */
const LONGEST_SILENCE = 180
const CONFIGS_DIFFER =
  'the API servers have different EncryptionConfigurations; give all of them the same and wait a minute, or if they differ only in the path of a socket, say so by --configs-may-differ'

/**
 * Judges a reading. Staleness is what the serving API server thinks of its own key: rewriting through one that still has
 * the old key would make new data old (§3.4 of the KMS contract), so all must agree before anything is rewritten.
 */
export function judgeConvergence(reading: ClusterReading, demand: Demand = {}): Convergence {
  const { wanted, configsMayDiffer = false } = demand
  const views = reading.apiServers.filter((each): each is ApiServerView => !isSilent(each))
  const hashes = agreedHashes(views)
  const configHashes = new Set(views.flatMap(({ configHash }) => configHash ?? []))
  const reasons = [
    ...reading.apiServers.flatMap((each) =>
      isSilent(each) ? [each.silence.message] : faultsOf(each, wanted),
    ),
    ...disagreements(views),
    ...(configHashes.size > 1 && !configsMayDiffer ? [CONFIGS_DIFFER] : []),
    ...reading.plugins.flatMap((each) => pluginFaults(each, wanted, hashes)),
  ]
  return {
    isReached: reasons.length === 0,
    reasons,
    hashes,
    configHashes: [...configHashes].toSorted(),
  }
}

function faultsOf(view: ApiServerView, wanted: string | undefined): string[] {
  const faults =
    view.fault === undefined
      ? []
      : [`the KMS providers of ${view.server} are not well: ${view.fault}`]
  for (const [provider, { ageSeconds }] of view.keys) {
    if (ageSeconds > LONGEST_SILENCE)
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

/** Providers whose newest key is not the same everywhere. */
function disagreements(views: readonly ApiServerView[]): string[] {
  return providersOf(views).flatMap((provider) => {
    const lines = views.map((view) => {
      const key = view.keys.get(provider)
      return { server: view.server, hash: key?.hash ?? 'none' }
    })
    if (new Set(lines.map(({ hash }) => hash)).size < 2) return []
    const shown = lines.map(({ server, hash }) => `${server}: ${shorten(hash)}`).join('; ')
    return [`the API servers do not agree on the key of ${provider} (${shown})`]
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
  if (keyId === undefined) return [`the plugin at ${address} knows no key yet`]
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

/** A hash as people compare it. */
export function shorten(hash: string): string {
  return hash.replace(/^sha256:/, '').slice(0, 12)
}
