import type { Report } from '../verify/report.ts'
import { oldestVersion } from '../verify/stored-keys.ts'

/** The key versions that stored data needs. */
export interface NeededVersions {
  /** The oldest version in etcd; undefined if etcd was not read or needs none. */
  readonly live?: number | undefined
  readonly backups: readonly NeededByBackup[]
}

/** What an etcd snapshot needs. */
export interface NeededByBackup {
  readonly file: string
  /** Whether it is from another cluster that uses the same key. */
  readonly isOther?: boolean | undefined
  readonly oldest: number | undefined
  /** Why `oldest` is not proved, each a sentence. */
  readonly gaps: readonly string[]
}

export interface BackupReport {
  readonly file: string
  /** Whether it is from another cluster that uses the same key. */
  readonly isOther?: boolean | undefined
  readonly report: Report
}

const NOT_OF_THIS_KEY =
  'it holds nothing under this key, so it proves nothing about a cluster that uses the key'

/** What etcd and the backups need; `live` is undefined without access to etcd. */
export function findNeeded(
  live: Report | undefined,
  backups: readonly BackupReport[],
): NeededVersions {
  return {
    live: live === undefined ? undefined : oldestVersion(live),
    backups: backups.map(needsOf),
  }
}

function needsOf({ file, isOther, report }: BackupReport): NeededByBackup {
  const oldest = oldestVersion(report)
  const foreign = isOther === true && oldest === undefined
  return { file, isOther, oldest, gaps: [...report.gaps, ...(foreign ? [NOT_OF_THIS_KEY] : [])] }
}
