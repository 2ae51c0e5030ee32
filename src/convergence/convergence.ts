import { isSilent, type ApiServerView } from './api-server-view.ts'
import type { ClusterReading } from './cluster-reading.ts'
import { isSilentPlugin, type PluginReading } from './plugin-view.ts'
import { findUnseen } from './unseen-servers.ts'
import {
  findMissingWriters,
  findOldWrites,
  loadTimeOf,
  proveWriters,
  shorten,
  type WriterDemand,
  type WriterProof,
} from './writers.ts'
import { hashKeyId } from '../seed/key-id.ts'
import { escapeControls } from '../text/one-line.ts'

/** Whether every API server encrypts with the same key. */
export interface Convergence {
  readonly isReached: boolean
  /** Why not, each a sentence. */
  readonly reasons: readonly string[]
  /** The reasons that waiting does not change: API servers that were not read. */
  readonly unseen: readonly string[]
  /** The write key by KMS v2 provider: those with which all API servers are proved to write, and on whose key they agree. */
  readonly hashes: ReadonlyMap<string, string>
  /** Whether every API server reports the hash of the required EncryptionConfiguration. */
  readonly isFileProved: boolean
  /** Of the EncryptionConfigurations in use, sorted. */
  readonly configHashes: readonly string[]
  /**
   * When each API server loaded its EncryptionConfiguration, by its own clock: after a change it may have written differently.
   */
  readonly loads: string
}

/** What API servers must agree on. */
export interface Demand extends WriterDemand {
  /** The hash of the required key id; undefined means any, if it is the same everywhere. */
  readonly wanted?: string | undefined
}

/**
 * An API server polls a healthy plugin every minute and stops writing after three minutes without an answer (apiserver:
 * pkg/server/options/encryptionconfig/config.go, kmsv2PluginHealthzPositiveInterval and kmsv2 envelope.go,
 * State.ValidateEncryptCapability).
 */
const MAX_SILENCE_SECONDS = 180
const CONFIGS_DIFFER =
  'the API servers have different EncryptionConfigurations; use the same file for all of them and wait a minute, or pass --configs-may-differ if the files differ only in a socket path'

/**
 * Judges a reading. An API server considers an object stale if it is not encrypted with that API server's own write key, so
 * one with an old key would rewrite new data under the old key (apiserver: pkg/storage/value/encrypt/envelope/kmsv2/envelope.go,
 * TransformFromStorage). All must agree before anything is rewritten.
 */
export function judgeConvergence(reading: ClusterReading, demand: Demand = {}): Convergence {
  const { wanted, configHash: expected, configsMayDiffer = false } = demand
  const views = reading.apiServers.filter((each): each is ApiServerView => !isSilent(each))
  const agreed = agreedHashes(views)
  const proofs = new Map(views.map((view) => [view, proveWriters(view, demand)]))
  const configHashes = new Set(views.flatMap(({ configHash }) => configHash ?? []))
  const unseen = findUnseen(reading)
  const reasons = [
    ...unseen,
    ...reading.apiServers.flatMap((each) =>
      isSilent(each) ? [each.silence.message] : faultsOf(each, demand, proofs.get(each)),
    ),
    ...disagreements(views),
    ...(configsMayDiffer || expected !== undefined || configHashes.size < 2
      ? []
      : [CONFIGS_DIFFER]),
    ...reading.plugins.flatMap((each) => pluginFaults(each, wanted, agreed)),
  ].map(escapeControls)
  const isWriter = (provider: string) =>
    [...proofs.values()].every(
      (proof) => proof.kind === 'proved' && proof.providers.includes(provider),
    )
  return {
    isReached: reasons.length === 0,
    reasons,
    unseen,
    hashes: new Map([...agreed].filter(([provider]) => isWriter(provider))),
    isFileProved:
      expected !== undefined && views.every(({ configHash }) => configHash === expected),
    configHashes: [...configHashes].toSorted(),
    loads: views
      .map((view) => `${view.server}=${String(loadTimeOf(view))}`)
      .toSorted()
      .join(' '),
  }
}

function faultsOf(view: ApiServerView, demand: Demand, proof: WriterProof | undefined): string[] {
  const { wanted } = demand
  const faults = [
    ...(view.fault === undefined
      ? []
      : [`the KMS providers of ${view.server} are unhealthy: ${view.fault}`]),
    ...(proof?.kind === 'unproved' ? [proof.why] : []),
    ...findMissingWriters(view, demand),
    ...findOldWrites(view),
  ]
  for (const [provider, { ageSeconds }] of view.keys) {
    if (ageSeconds > MAX_SILENCE_SECONDS)
      faults.push(
        `${view.server} has not heard from its plugin ${provider} for ${String(Math.round(ageSeconds))} s`,
      )
  }
  if (wanted !== undefined) faults.push(...findWithoutWanted(view, wanted, proof))
  return faults
}

function findWithoutWanted(
  view: ApiServerView,
  wanted: string,
  proof: WriterProof | undefined,
): string[] {
  const isWanted = (provider: string) => view.keys.get(provider)?.hash === wanted
  const holders = [...view.keys.keys()].filter(isWanted)
  if (holders.length === 0) {
    const now = [...view.keys.values()].map(({ hash }) => shorten(hash)).join(', ') || 'none'
    return [`${view.server} does not use key ${shorten(wanted)} yet (now: ${now})`]
  }
  if (proof?.kind !== 'proved' || proof.providers.some(isWanted)) return []
  return [
    `${view.server} only reads with ${holders.join(' and ')}, which has key ${shorten(wanted)}; put that provider first in its EncryptionConfiguration`,
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
