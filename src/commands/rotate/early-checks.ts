import { readGivenFile, type EncryptionFile } from '../../encryption/rules-file.ts'
import { openRegularFile } from '../../files/regular-file.ts'
import { usageError } from '../cli/option.ts'
import { namesEtcd, readEtcdAccess, type EtcdAccessValues } from '../cli/options/etcd.ts'
import { readPatterns, requireProof } from '../cli/options/resources.ts'
import { OTHERS, RAISE_OPTION } from './raise-version.ts'

type EarlyValues = EtcdAccessValues &
  Parameters<typeof requireProof>[0] &
  Parameters<typeof readPatterns>[0] & {
    readonly plan: boolean
    readonly backup: readonly string[]
    readonly otherCluster: readonly string[]
    readonly onlyCluster: boolean
    readonly yesRaiseMinDecryptionVersion: number | undefined
  }

/** What a rotation rewrites. */
interface RotationTarget {
  readonly encryption: EncryptionFile | undefined
  readonly patterns: readonly string[]
}

/**
 * Reads what a rotation rewrites. Throws USAGE_INVALID, before Vault or the cluster is asked, also for what would otherwise be
 * found out only after the rotation, which a repeated command would begin again.
 */
export async function checkEarly(values: EarlyValues): Promise<RotationTarget> {
  const encryption = await readGivenFile(values.encryptionConfig)
  const patterns = readPatterns(values, encryption)
  if (namesEtcd(values)) readEtcdAccess(values)
  if (!values.plan) requireProof(values)
  await requireRaiseOptions(values)
  return { encryption, patterns }
}

async function requireRaiseOptions(values: EarlyValues): Promise<void> {
  const { yesRaiseMinDecryptionVersion: version, onlyCluster, otherCluster, backup } = values
  if (onlyCluster && otherCluster.length > 0)
    throw usageError('--only-cluster and --other-cluster cannot be used together')
  if (version !== undefined && !namesEtcd(values))
    throw usageError(`${RAISE_OPTION} needs the etcd options, such as --endpoints`)
  if (version !== undefined && !onlyCluster && otherCluster.length === 0)
    throw usageError(`${RAISE_OPTION}: ${OTHERS}`)
  for (const path of [...backup, ...otherCluster]) {
    const file = await openRegularFile(path, path)
    await file.close()
  }
}
