import { makeSnapshot } from '../../seed/key-snapshot.ts'
import { describeCount } from '../../text/count.ts'
import { readMoment, timeBetween, type Moment } from '../../time/boot-time.ts'
import { describeDuration } from '../../time/duration.ts'
import type { OfflineState } from './sealed-format.ts'

/** How long a plugin can start from a sealed file without Vault. */
export interface OfflineReadiness {
  readonly state: OfflineState
  /** Since Vault last answered. */
  readonly ageMs: number
  /** Above 0. */
  readonly leftMs: number
}

/** Why a plugin cannot start from a sealed file without Vault, and what to do. */
export interface OfflineFault {
  readonly why: string
  /** Absent if `why` says it. */
  readonly fix?: string
}

/** Judges what `SealedFile.load` returned without a fault. */
export function judgeOfflineState(
  path: string,
  state: OfflineState | undefined,
  offlineForMs: number,
): OfflineReadiness | OfflineFault {
  if (state === undefined)
    return {
      why: `${path} does not exist (never written, or removed after a refusal or after kms.localKeys.offlineFor), so this node needs Vault to start`,
      fix: 'the running plugin writes it when Vault answers',
    }
  const ages = findAges(state.agreedAt, readMoment())
  if (ages === undefined)
    return { why: `the clock of this node is behind ${path}`, fix: 'set the clock' }
  if (!canEncrypt(state))
    return { why: `${path} has no local key that encrypts`, fix: 'see the log of the plugin' }
  const ageMs = Math.max(ages.inThisBoot, ages.afterReboot)
  const leftMs = offlineForMs - ageMs
  if (leftMs > 0) return { state, ageMs, leftMs }
  if (ages.inThisBoot < offlineForMs)
    return {
      why: `the clock of this node was set forward after ${path} was written, so it would be too old after a reboot`,
      fix: 'wait until the plugin writes it again, at most 5 minutes while Vault answers',
    }
  const why = `${describeCount(state.localKeys.length, 'local key')}, Vault last answered ${describeDuration(ageMs)} ago, longer than kms.localKeys.offlineFor`
  return { why, fix: 'fix Vault first' }
}

/** Whether one of its own local keys belongs to the key id that a plugin announces after a start from this state. */
function canEncrypt({ key, localKeys }: OfflineState): boolean {
  return localKeys.some(({ isOwn, clusterId, keyId }) => {
    return isOwn && keyId === makeSnapshot(key, { clusterId, alsoDecryptClusters: [] }, 0).keyId
  })
}

/**
 * How old a start finds the state: one in the same boot counts the time since the boot, and one after a reboot only the wall clock.
 * Undefined if a clock is behind.
 */
function findAges(
  agreedAt: Moment,
  now: Moment,
): { readonly inThisBoot: number; readonly afterReboot: number } | undefined {
  const afterReboot = timeBetween({ ...agreedAt, bootId: '' }, now)
  const inThisBoot = timeBetween(agreedAt, now)
  return afterReboot === undefined || inThisBoot === undefined
    ? undefined
    : { inThisBoot, afterReboot }
}
