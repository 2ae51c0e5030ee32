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

/** Only for a lack of rights does another user help. */
const OTHER_USER = 'run this as the user of the plugin, usually root, and see its log'

/** kms.localKeys of a node that has a sealed file. */
export interface SealedPlace extends Pick<LocalKeysConfig, 'offlineForMs'> {
  readonly sealedFile: string
  readonly nodeKeyFile: string
}

/** Whether this node can start from its sealed file. The caller wipes the local keys of the state; a fault has none. */
export async function readStartReadiness(
  { sealedFile: path, nodeKeyFile, offlineForMs }: SealedPlace,
  owner: SealedOwner,
): Promise<OfflineReadiness | OfflineFault> {
  // The fault is returned.
  const log = { warn: () => undefined }
  const sealed = new SealedFile({ path, nodeKeyFile, owner, log })
  const state = await sealed.load()
  const judged = judgeOfflineState(path, { state, fault: sealed.fault }, offlineForMs)
  if (!('why' in judged)) return judged
  wipeLocalKeys(state)
  const isRefused = sealed.fault !== undefined && (await lacksRights([path, nodeKeyFile]))
  return isRefused ? { ...judged, fix: OTHER_USER } : judged
}

async function lacksRights(files: readonly string[]): Promise<boolean> {
  const denials = await Promise.all(files.map(isDenied))
  return denials.includes(true)
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
