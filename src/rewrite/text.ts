import type { RewritePlan, RewriteResult } from './procedure.ts'
import { shorten, type Convergence } from '../convergence/convergence.ts'
import { totalOf, type ResourceProgress } from './state.ts'

/** What --dry-run prints. */
export function formatPlan({ discovery, objects, convergence, migration }: RewritePlan): string {
  return [
    `all API servers write with ${describeKeys(convergence)}`,
    migration === undefined
      ? 'objects are rewritten page by page, by patches that change nothing'
      : `objects are rewritten by the cluster's own controller (StorageVersionMigration ${migration})`,
    ...[...objects]
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `  ${name}: ${count.toLocaleString('en')} objects`),
    ...countEmpty([...objects.values()].filter((count) => count === 0).length),
    ...discovery.passedOver.map(({ name, why }) => `  ${name}: passed over; ${why}`),
    'nothing was changed',
  ].join('\n')
}

/** What a rewriting came to. */
export function formatResult({ resources, refusals, convergence }: RewriteResult): string {
  const [some, none] = [resources.filter(hasObjects), resources.filter((each) => !hasObjects(each))]
  return [
    ...some.map(formatResource),
    ...countEmpty(none.length),
    ...refusals.map(({ object, why }) => `  ${object}: not rewritten: ${why}`),
    `all API servers write with ${describeKeys(convergence)}`,
  ].join('\n')
}

function countEmpty(count: number): readonly string[] {
  return count === 0
    ? []
    : [`  ${String(count)} ${count === 1 ? 'resource' : 'resources'} without objects`]
}

/** Those of a migration are counted by nobody. */
function hasObjects({ counts, migrated }: ResourceProgress): boolean {
  return migrated === true || totalOf(counts) > 0
}

function formatResource({ resource, counts, migrated }: ResourceProgress): string {
  if (migrated === true) return `${resource}: rewritten by the cluster's own controller`
  const parts: readonly (readonly [number, string])[] = [
    [counts.rewritten, 'rewritten'],
    [counts.current, 'new already'],
    [counts.writtenByOthers, 'written by others meanwhile'],
    [counts.gone, 'deleted meanwhile'],
    [counts.refused, 'refused by the API server'],
  ]
  const shown = parts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count.toLocaleString('en')} ${what}`)
  return `${resource}: ${shown.join(', ')}`
}

/** The keys that API servers agree on, for people. */
export function describeKeys({ hashes }: Convergence): string {
  if (hashes.size === 0) return 'no KMS v2 key'
  return [...hashes].map(([provider, hash]) => `key ${shorten(hash)} of ${provider}`).join(', ')
}
