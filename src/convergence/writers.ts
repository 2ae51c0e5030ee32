import type { SeenWrite } from './api-server-metrics.ts'
import type { ApiServerView } from './api-server-view.ts'

/** What is known of the EncryptionConfiguration that the API servers should use. */
export interface WriterDemand {
  /** The hash of the EncryptionConfiguration that every API server must use; undefined means any, if it is the same. */
  readonly configHash?: string | undefined
  /** The KMS v2 providers that write according to that file: the first of a rule. */
  readonly writers?: readonly string[] | undefined
  /** Whether different EncryptionConfigurations are accepted, for example with different socket paths. */
  readonly configsMayDiffer?: boolean | undefined
}

/** The KMS v2 providers that an API server writes with, or why they are not known. */
export type WriterProof =
  | { readonly kind: 'proved'; readonly providers: readonly string[] }
  | { readonly kind: 'unproved'; readonly why: string }

const CONFIG_OTHER =
  'uses a different EncryptionConfiguration than the file in --encryption-config; pass the exact file that it uses (comments count), wait a minute after a change, or pass --configs-may-differ if the order of the providers is the same'
const CONFIG_UNKNOWN =
  'does not report the hash of its EncryptionConfiguration (Kubernetes before 1.34), so it is not proved which provider writes; compare the files and pass --configs-may-differ'

/**
 * The order of providers is in the file alone, and with it which of them writes: a key id from Status does not show it. Proof is
 * the hash of the file, or an object that the API server has encrypted since it loaded its file.
 */
export function proveWriters(view: ApiServerView, demand: WriterDemand): WriterProof {
  const { configHash, writers, configsMayDiffer = false } = demand
  const isCompared = configHash !== undefined && view.configHash !== undefined
  if (isCompared && view.configHash === configHash) return proved(writers ?? [])
  if (configsMayDiffer) return proved(writers ?? [...view.keys.keys()])
  if (isCompared) return { kind: 'unproved', why: `${view.server} ${CONFIG_OTHER}` }
  if (writers?.length === 0) return { kind: 'unproved', why: `${view.server} ${CONFIG_UNKNOWN}` }
  const used = new Set(writesSinceLoad(view).map(({ provider }) => provider))
  const unused = (writers ?? [...view.keys.keys()]).filter((name) => !used.has(name))
  // Without a file, a provider that does not write may be there for reading only.
  const isProved =
    writers === undefined ? used.size > 0 || view.keys.size === 0 : unused.length === 0
  return isProved
    ? proved(writers ?? [...used])
    : { kind: 'unproved', why: explainUnused(view, unused, configHash !== undefined) }
}

/** A provider in the EncryptionConfiguration that an API server does not have. */
export function findMissingWriters(view: ApiServerView, { writers = [] }: WriterDemand): string[] {
  return writers
    .filter((name) => !view.keys.has(name))
    .map(
      (name) =>
        `${view.server} has no KMS v2 provider ${name}, which writes according to the file in --encryption-config; pass that file to the API server`,
    )
}

/** An API server whose plugin announced a new key, and that has used the old one since (the plugin may reject its Encrypt). */
export function findOldWrites(view: ApiServerView): string[] {
  return writesSinceLoad(view)
    .filter(({ provider, hash, at }) => {
      const key = view.keys.get(provider)
      return key?.at !== undefined && key.hash !== hash && at > key.at
    })
    .map(
      ({ provider, hash }) =>
        `${view.server} still encrypts with key ${shorten(hash)} of ${provider}, which its plugin no longer announces`,
    )
}

function proved(providers: readonly string[]): WriterProof {
  return { kind: 'proved', providers }
}

/** When an API server loaded its EncryptionConfiguration, in seconds since 1970 by its own clock; 0 if it does not report it. */
export function loadTimeOf({ startedAt = 0, reloadedAt = 0 }: ApiServerView): number {
  return Math.max(startedAt, reloadedAt)
}

/** The counters of an earlier EncryptionConfiguration stay until the process ends. */
function writesSinceLoad(view: ApiServerView) {
  const loadedAt = loadTimeOf(view)
  return (view.writes ?? []).filter(({ at }: SeenWrite) => at > loadedAt)
}

function explainUnused(view: ApiServerView, unused: readonly string[], hasFile: boolean): string {
  const names = unused.join(' and ')
  const why = `it is not proved that ${view.server} writes with ${names}: it has encrypted nothing with it since it loaded its EncryptionConfiguration`
  const byFile =
    view.configHash === undefined
      ? 'compare the files and pass --configs-may-differ'
      : 'pass the exact file that it uses with --encryption-config'
  const hash = hasFile
    ? ', and it does not report the hash of that file (Kubernetes before 1.34)'
    : ''
  return `${why}${hash}; create a Secret through it and try again, or ${byFile}`
}

/** The part of a hash that messages show. */
export function shorten(hash: string): string {
  return hash.replace(/^sha256:/, '').slice(0, 12)
}
