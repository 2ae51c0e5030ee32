import * as v from 'valibot'

import type { Convergence } from '../convergence/convergence.ts'
import { formatResource, type Resource } from '../kube/resource.ts'

const Count = v.pipe(v.number(), v.integer(), v.minValue(0))

/** The outcomes for a resource so far. */
export const RewriteCounts = v.object({
  rewritten: Count,
  current: Count,
  gone: Count,
  writtenByOthers: Count,
  refused: Count,
})
export type RewriteCounts = v.InferOutput<typeof RewriteCounts>

const ResourceProgress = v.object({
  resource: v.string(),
  done: v.boolean(),
  /** The token of the next page. */
  next: v.optional(v.string()),
  /** The name of the StorageVersionMigration in progress. */
  migration: v.optional(v.string()),
  /** Whether a StorageVersionMigration rewrote it. */
  migrated: v.optional(v.boolean()),
  counts: RewriteCounts,
})
export type ResourceProgress = v.InferOutput<typeof ResourceProgress>

/** The progress of a rewrite: all that a later run needs to resume it. */
export const RewriteState = v.object({
  version: v.literal(1),
  procedure: v.literal('rewrite'),
  /** The uid of the cluster. */
  cluster: v.string(),
  /** The write keys at the start: progress under other keys is void. */
  key: v.string(),
  /** When each API server loaded its EncryptionConfiguration: progress from before another load is void. */
  loads: v.optional(v.string()),
  startedAt: v.string(),
  resources: v.array(ResourceProgress),
})
export type RewriteState = v.InferOutput<typeof RewriteState>

/** The write keys as text for the state file. */
export function fingerprint({ hashes, configHashes }: Convergence): string {
  const providers = [...hashes].map(([provider, hash]) => `${provider}=${hash}`).toSorted()
  return [...providers, `config=${configHashes.join(',')}`].join(' ')
}

/** The progress of a resource; adds it if it is missing. */
export function progressOf(state: RewriteState, resource: Resource): ResourceProgress {
  const name = formatResource(resource)
  const known = state.resources.find((each) => each.resource === name)
  if (known !== undefined) return known
  const made = { resource: name, done: false, counts: noCounts() }
  state.resources.push(made)
  return made
}

export function noCounts(): RewriteCounts {
  return { rewritten: 0, current: 0, gone: 0, writtenByOthers: 0, refused: 0 }
}

/** The number of objects with an outcome. */
export function totalOf(counts: RewriteCounts): number {
  const { rewritten, current, gone, writtenByOthers, refused } = counts
  return rewritten + current + gone + writtenByOthers + refused
}
