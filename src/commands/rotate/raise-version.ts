import type { NeededVersions } from '../../rotate/needed-versions.ts'
import { stopped } from '../../rotate/patience.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import type { KeyAdmin } from '../../operator/key-admin.ts'
import type { Ask } from '../cli/confirm.ts'
import { warn, type Terminal } from '../cli/terminal.ts'

export interface RaiseOptions {
  readonly needed: NeededVersions
  /** The value of --yes-raise-min-decryption-version. */
  readonly asked: number | undefined
  /** Whether no other cluster uses the key, by --only-cluster. */
  readonly isOnlyCluster: boolean
  readonly terminal: Pick<Terminal, 'stderr'>
  readonly key: KeyAdmin
  readonly ask: Ask
  /** After it is aborted, nothing is raised. */
  readonly signal: AbortSignal
}

type Raising = Pick<RaiseOptions, 'needed' | 'key' | 'terminal' | 'signal'>

export const RAISE_OPTION = '--yes-raise-min-decryption-version'
/** What is missing without --only-cluster and --other-cluster. */
export const OTHERS =
  'other clusters may use this key, and Vault does not know; pass an etcd snapshot of each with --other-cluster, or --only-cluster if there is none'

/**
 * Raises min_decryption_version after confirmation. Throws NOT_FINISHED if etcd or a backup needs an older version, or if that
 * is not proved.
 */
export async function raiseVersion(options: RaiseOptions): Promise<void> {
  const { needed, asked, isOnlyCluster, terminal, key, ask } = options
  const { name, minDecryptionVersion } = await key.read()
  const areOthersKnown = isOnlyCluster || needed.backups.some(({ isOther }) => isOther === true)
  const oldest = oldestOf(needed)
  const gap = needed.backups.flatMap(({ file, gaps }) => gaps.map((each) => `${file}: ${each}`))[0]
  if (gap !== undefined) {
    if (asked === undefined) return warn(terminal, `min_decryption_version is not raised: ${gap}`)
    throw new BridgeError(
      'NOT_FINISHED',
      `${RAISE_OPTION}: the versions that it needs are not proved: ${gap}`,
    )
  }
  if (asked !== undefined) {
    if (!areOthersKnown) throw new BridgeError('NOT_FINISHED', `${RAISE_OPTION}: ${OTHERS}`)
    return raiseTo(asked, minDecryptionVersion, options)
  }
  if (oldest === undefined || oldest <= minDecryptionVersion) return
  const consequence = describe(minDecryptionVersion, oldest, needed)
  if (ask === undefined) {
    const others = areOthersKnown ? '' : `; ${OTHERS}`
    warn(
      terminal,
      `${consequence}; pass --finish ${RAISE_OPTION} ${String(oldest)} to do it: without --finish, another run creates another key version${others}`,
    )
    return
  }
  if (!areOthersKnown && !(await ask(askAlone(name, minDecryptionVersion, oldest))))
    return warn(terminal, `min_decryption_version is not raised: ${OTHERS}`)
  if (await ask(`${consequence}. Do it?`)) await raiseTo(oldest, minDecryptionVersion, options)
}

function askAlone(key: string, now: number, oldest: number): string {
  return `${capitalize(listVersions(now, oldest - 1))} of ${key} will be disabled. Data that other clusters encrypted with them becomes unreadable. Is this the only cluster that uses this key?`
}

function listVersions(first: number, last: number): string {
  return first === last
    ? `version ${String(first)}`
    : `versions ${String(first)} to ${String(last)}`
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

async function raiseTo(
  version: number,
  now: number,
  { needed, key, terminal, signal }: Raising,
): Promise<void> {
  const oldest = oldestOf(needed)
  if (oldest === undefined) {
    throw new BridgeError(
      'NOT_FINISHED',
      `${RAISE_OPTION}: etcd was not read, so the versions that it needs are unknown; pass --endpoints`,
    )
  }
  if (version > oldest) {
    throw new BridgeError(
      'NOT_FINISHED',
      `${RAISE_OPTION} ${String(version)}: ${whoNeeds(needed, oldest)} still needs version ${String(oldest)}, and its data would become unreadable; nothing was raised`,
    )
  }
  if (version <= now) {
    warn(terminal, `min_decryption_version is already ${String(now)}`)
    return
  }
  if (signal.aborted) throw stopped()
  await raise(key, version)
  warn(
    terminal,
    `min_decryption_version is ${String(version)}: data under an older version can no longer be decrypted`,
  )
}

/** If the response is lost, the request may have arrived. */
async function raise(key: KeyAdmin, version: number): Promise<void> {
  try {
    await key.raiseMinDecryptionVersion(version)
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (!isOutage(error)) throw error
    throw new BridgeError(
      error.code,
      `it is unknown whether min_decryption_version is ${String(version)} now: ${error.message}`,
      { cause: error },
    )
  }
}

/** Undefined if etcd was not read, regardless of the backups. */
function oldestOf({ live, backups }: NeededVersions): number | undefined {
  if (live === undefined) return undefined
  return Math.min(live, ...backups.flatMap(({ oldest }) => oldest ?? []))
}

function whoNeeds({ live, backups }: NeededVersions, oldest: number): string {
  if (live === oldest) return 'etcd'
  return backups.find((backup) => backup.oldest === oldest)?.file ?? 'a backup'
}

/** Names what is not proved: etcd snapshots that were not passed, and what other clusters wrote before their snapshots. */
function describe(now: number, oldest: number, { backups }: NeededVersions): string {
  const known =
    backups.length === 0
      ? 'no etcd snapshot was passed (--backup)'
      : `the ${String(backups.length)} etcd snapshots that were passed need none of them`
  return `min_decryption_version can be raised from ${String(now)} to ${String(oldest)}: data under ${listVersions(now, oldest - 1)} in other etcd snapshots becomes unreadable until it is lowered again, and ${known}`
}
