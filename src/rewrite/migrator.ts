import { BridgeError } from '../errors.ts'
import type { ServedResource } from '../kube/discovery.ts'
import type { Persistence } from '../kube/persistence.ts'
import { formatResource } from '../kube/resource.ts'
import type { Clock } from '../time/clock.ts'
import { Migrations, type MigrationEnd, type MigrationVersion } from './migration.ts'
import type { ResourceProgress } from './state.ts'

/** Whether kube-controller-manager may rewrite (auto), must not (patch), or has to (migration). */
export type RewriteMethod = 'auto' | 'patch' | 'migration'

/** Returns false for a resource that is to be patched instead. */
export type Migrate = (
  served: ServedResource,
  progress: ResourceProgress,
  save: () => Promise<void>,
  signal: AbortSignal,
) => Promise<boolean>

export interface MigratorOptions {
  readonly method: RewriteMethod
  /** Undefined means that everything is patched. */
  readonly version: MigrationVersion | undefined
  /** The number of objects by resource. */
  readonly objects: ReadonlyMap<string, number>
  readonly persistence: Persistence
  readonly clock: Clock
  readonly onNote: (text: string) => void
}

/** After one migration that no controller starts or ends, everything is patched. */
export function makeMigrator(options: MigratorOptions): Migrate {
  const { method, objects, onNote } = options
  let { version } = options
  return async (served, progress, save, signal) => {
    if (version === undefined || progress.next !== undefined) return false
    const migrations = new Migrations({ ...options, version })
    const name = formatResource(served.resource)
    let migration: string
    let end: MigrationEnd
    do {
      migration = progress.migration ?? (await migrations.begin(served, signal))
      progress.migration = migration
      await save()
      onNote(`${name}: kube-controller-manager rewrites it (StorageVersionMigration ${migration})`)
      end = await migrations.finish(migration, objects.get(name) ?? 0, signal)
      // A later run waits for one that is overdue.
      if (end.kind !== 'overdue') delete progress.migration
    } while (end.kind === 'gone')
    progress.done = progress.migrated = end.kind === 'succeeded'
    // A later run creates another one.
    await save()
    if (end.kind === 'succeeded') return true
    const why = explainEnd(end, migration, method)
    onNote(`${why}; patching objects instead`)
    version = undefined
    return false
  }
}

/** Why objects are patched instead. Throws KUBE_FAILED if they are not. */
function explainEnd(end: MigrationEnd, name: string, method: RewriteMethod): string {
  const migration = `the StorageVersionMigration ${name}`
  if (end.kind === 'failed')
    throw failure(`${migration} failed: ${end.why}; use --method patch instead`)
  if (end.kind === 'abandoned')
    throw failure(
      `kube-controller-manager is no longer active, so ${migration} would never end and was removed; run the same command again when one is active, or with --method patch`,
    )
  const isOverdue = end.kind === 'overdue'
  const why = isOverdue
    ? `${migration} does not end`
    : 'no controller started the StorageVersionMigration'
  if (method !== 'migration') return why
  throw failure(
    isOverdue
      ? `${why}; see the log of kube-controller-manager, then run the same command again to wait for it, or with --method patch`
      : `${why}; enable the feature gate StorageVersionMigrator of kube-controller-manager, or remove --method migration`,
  )
}

function failure(message: string): BridgeError {
  return new BridgeError('KUBE_FAILED', message)
}
