import { readFileSync } from 'node:fs'

import {
  parseSealedFile,
  type OfflineState,
  type SealedOwner,
} from '../../../src/kms/local/sealed-format.ts'

/** What a sealed file holds. Throws if a plugin could not use it. */
export function readSealedFile(
  { sealedFile, nodeKeyFile }: { readonly sealedFile: string; readonly nodeKeyFile: string },
  owner: SealedOwner,
): OfflineState {
  const state = parseSealedFile(readFileSync(sealedFile), owner, readFileSync(nodeKeyFile))
  if (typeof state === 'string') throw new Error(state)
  return state
}
