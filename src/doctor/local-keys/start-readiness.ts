import type { LocalKeysConfig } from '../../config/config.ts'
import {
  judgeOfflineState,
  type OfflineFault,
  type OfflineReadiness,
} from '../../kms/local/offline-readiness.ts'
import { SealedFile, type SealedFileFault } from '../../kms/local/sealed-file.ts'
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
  if (sealed.fault !== undefined) return explainFault(sealed.fault)
  const judged = judgeOfflineState(path, state, offlineForMs)
  if ('why' in judged) wipeLocalKeys(state)
  return judged
}

function explainFault({ kind, text: why }: SealedFileFault): OfflineFault {
  return kind === 'denied' ? { why, fix: OTHER_USER } : { why }
}
