import type { NeededVersions } from '../rotate/rotation.ts'
import { BridgeError } from '../errors.ts'
import type { KeyAdmin } from '../operator/key-admin.ts'
import { countValue } from './cli/cluster-options.ts'
import type { OptionValues } from './cli/command.ts'
import type { Ask } from './cli/confirm.ts'
import { complain, type Terminal } from './cli/terminal.ts'

export interface RaiseOptions {
  readonly needed: NeededVersions
  readonly values: OptionValues
  readonly terminal: Pick<Terminal, 'stderr'>
  readonly key: KeyAdmin
  readonly ask: Ask
}

const OPTION = '--yes-raise-min-decryption-version'

/**
 * Gives old versions up, if somebody says so and nothing that is known of needs them. Throws NOT_FINISHED if something
 * does.
 */
export async function raiseVersion({
  needed,
  values,
  terminal,
  key,
  ask,
}: RaiseOptions): Promise<void> {
  const asked = countValue(values, OPTION.slice(2))
  const { minDecryptionVersion } = await key.read()
  const oldest = oldestOf(needed)
  if (asked !== undefined) return raiseTo(asked, needed, minDecryptionVersion, key, terminal)
  if (oldest === undefined || oldest <= minDecryptionVersion) return
  const consequence = describe(minDecryptionVersion, oldest, needed)
  if (ask === undefined) {
    complain(terminal, `${consequence}; ${OPTION} ${String(oldest)} does it`)
    return
  }
  if (await ask(`${consequence}. Do it?`))
    await raiseTo(oldest, needed, minDecryptionVersion, key, terminal)
}

async function raiseTo(
  version: number,
  needed: NeededVersions,
  now: number,
  key: KeyAdmin,
  terminal: Pick<Terminal, 'stderr'>,
): Promise<void> {
  const oldest = oldestOf(needed)
  if (oldest === undefined) {
    throw new BridgeError(
      'NOT_FINISHED',
      `${OPTION}: etcd was not read, so it is not known what is still needed; give --endpoints`,
    )
  }
  if (version > oldest) {
    throw new BridgeError(
      'NOT_FINISHED',
      `${OPTION} ${String(version)}: ${whoNeeds(needed, oldest)} needs version ${String(oldest)}, and could never be read again; nothing was raised`,
    )
  }
  if (version <= now) {
    complain(terminal, `min_decryption_version is ${String(now)} already`)
    return
  }
  await key.raiseMinDecryptionVersion(version)
  complain(
    terminal,
    `min_decryption_version is ${String(version)}: what is under an older version can no longer be decrypted`,
  )
}

/** Nothing is known where etcd was not read, whatever the backups say. */
function oldestOf({ live, backups }: NeededVersions): number | undefined {
  if (live === undefined) return undefined
  return Math.min(live, ...backups.flatMap(({ oldest }) => oldest ?? []))
}

function whoNeeds({ live, backups }: NeededVersions, oldest: number): string {
  if (live === oldest) return 'etcd'
  return backups.find((backup) => backup.oldest === oldest)?.file ?? 'a backup'
}

function describe(now: number, oldest: number, { backups }: NeededVersions): string {
  const known =
    backups.length === 0
      ? 'no backup was named (--backup)'
      : `the ${String(backups.length)} backups that were named need none of them`
  return `min_decryption_version can be raised from ${String(now)} to ${String(oldest)}: then etcd snapshots with data under versions ${String(now)} to ${String(oldest - 1)} can never be read again unless it is lowered, and ${known}`
}
