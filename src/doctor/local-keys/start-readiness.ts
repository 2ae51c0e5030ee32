import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

import type { LocalKeysConfig } from '../../config/config.ts'
import { readWithinTime } from '../../files/bounded-read.ts'
import { systemCodeOf } from '../../files/system-error.ts'
import {
  judgeOfflineState,
  type OfflineFault,
  type OfflineReadiness,
} from '../../kms/local/offline-readiness.ts'
import { SealedFile } from '../../kms/local/sealed-file.ts'
import { wipeLocalKeys, type SealedOwner } from '../../kms/local/sealed-format.ts'

/** kms.localKeys of a node that has a sealed file. */
export interface SealedPlace extends Pick<LocalKeysConfig, 'offlineForMs'> {
  readonly sealedFile: string
  readonly nodeKeyFile: string
}

/** Why this node cannot start without Vault. Absent `fix`: the reason says what to do, or the plugin does it. */
type StartFault = Omit<OfflineFault, 'fix'> & Partial<Pick<OfflineFault, 'fix'>>

/** Whether this node can start from its sealed file. The caller wipes the local keys of the state; a fault has none. */
export async function readStartReadiness(
  { sealedFile: path, nodeKeyFile, offlineForMs }: SealedPlace,
  owner: SealedOwner,
): Promise<OfflineReadiness | StartFault> {
  // The fault is returned.
  const log = { warn: () => undefined }
  const sealed = new SealedFile({ path, nodeKeyFile, owner, log })
  const state = await sealed.load()
  const judged = judgeOfflineState(path, { state, fault: sealed.fault }, offlineForMs)
  if (!('why' in judged)) return judged
  if (sealed.fault !== undefined) return adviseOnRights(judged, [path, nodeKeyFile])
  if (state === undefined) return missing(path)
  wipeLocalKeys(state)
  return judged
}

/** Only for a lack of rights does another user help. */
async function adviseOnRights(fault: OfflineFault, files: readonly string[]): Promise<StartFault> {
  const denials = await Promise.all(files.map(isDenied))
  return denials.includes(true) ? fault : { why: fault.why }
}

/** Whether this user lacks the right to read a file. */
async function isDenied(path: string): Promise<boolean> {
  try {
    // Without O_NONBLOCK, a named pipe in place of the file would wait for a writer.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK
    await readWithinTime(path, async () => (await open(path, flags)).close())
    return false
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    return code === 'EACCES' || code === 'EPERM'
  }
}

function missing(path: string): StartFault {
  return {
    why: `${path} does not exist (never written, or removed after a refusal or after kms.localKeys.offlineFor), so this node needs Vault to start`,
    fix: 'the running plugin writes it when Vault answers',
  }
}
