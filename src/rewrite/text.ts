import { escapeControls } from '../text/one-line.ts'
import type { RewritePlan, RewriteResult } from './procedure.ts'
import type { Convergence } from '../convergence/convergence.ts'
import { shorten } from '../convergence/writers.ts'
import { totalOf, type ResourceProgress } from './state.ts'

/** What --dry-run prints. */
export function formatPlan({ discovery, objects, convergence, migration }: RewritePlan): string {
  return [
    `write key of all API servers: ${describeKeys(convergence)}`,
    migration === undefined
      ? 'method: no-op updates (patch)'
      : `method: kube-controller-manager (StorageVersionMigration ${migration})`,
    ...[...objects]
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `  ${name}: ${count.toLocaleString('en')} objects`),
    ...countEmpty([...objects.values()].filter((count) => count === 0).length),
    ...discovery.skipped.map(({ name, why }) => `  ${name}: skipped; ${why}`),
    'no changes made',
  ].join('\n')
}

/** The result for people. */
export function formatResult({ resources, refusals, convergence }: RewriteResult): string {
  const [some, none] = [resources.filter(hasObjects), resources.filter((each) => !hasObjects(each))]
  return [
    ...some.map(formatResource),
    ...countEmpty(none.length),
    ...refusals.map(({ object, why }) => `  ${object}: not rewritten: ${why}`),
    `write key of all API servers: ${describeKeys(convergence)}`,
  ].join('\n')
}

function countEmpty(count: number): readonly string[] {
  return count === 0
    ? []
    : [`  ${String(count)} ${count === 1 ? 'resource' : 'resources'} without objects`]
}

/** A migration reports no counts. */
function hasObjects({ counts, migrated }: ResourceProgress): boolean {
  return migrated === true || totalOf(counts) > 0
}

function formatResource({ resource, counts, migrated }: ResourceProgress): string {
  if (migrated === true) return `${resource}: rewritten by kube-controller-manager`
  const parts: readonly (readonly [number, string])[] = [
    [counts.rewritten, 'rewritten'],
    [counts.current, 'already current'],
    [counts.writtenByOthers, 'changed by other clients in the meantime'],
    [counts.gone, 'deleted in the meantime'],
    [counts.refused, 'refused by the API server'],
  ]
  const shown = parts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count.toLocaleString('en')} ${what}`)
  return `${resource}: ${shown.join(', ')}`
}

/** The agreed write keys, for messages. */
export function describeKeys({ hashes }: Convergence): string {
  if (hashes.size === 0) return 'none (no KMS v2 provider)'
  return [...hashes]
    .map(([provider, hash]) => `key ${shorten(hash)} of ${escapeControls(provider)}`)
    .join(', ')
}
