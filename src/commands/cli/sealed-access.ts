import type { LocalKeysConfig } from '../../config/config.ts'
import { keyPath } from '../../config/key-path.ts'
import { loadConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { BridgeError } from '../../errors.ts'
import { judgeOfflineState } from '../../kms/local/offline-readiness.ts'
import { SealedFile } from '../../kms/local/sealed-file.ts'
import { wipeLocalKeys, type SealedOwner } from '../../kms/local/sealed-format.ts'
import { SourceReader } from '../../storage/source-reader.ts'
import { systemClock } from '../../time/clock.ts'
import type { SealedFileUse } from '../../verify/report.ts'
import { SealedKeys } from '../../verify/sealed-keys.ts'
import type { Terminal } from './terminal.ts'

export interface SealedAccess {
  readonly reader: SourceReader
  readonly acceptVaultKubernetesKms: boolean
  /**
   * Reads the file again, because it may have changed while the store was read. Throws STATE_INVALID if a plugin cannot start from it
   * any longer, or if it has lost a local key.
   */
  confirm(): Promise<Omit<SealedFileUse, 'ofSnapshot'>>
  /** Zeroes the local keys. */
  close(): void
}

/**
 * Reads DEK sources with the sealed file of a configuration, and never asks Vault. Throws CONFIG_INVALID if it names none, and
 * STATE_INVALID if a plugin cannot start from it now.
 */
export async function openSealedReader(
  file: string,
  { environment }: Pick<Terminal, 'environment'>,
): Promise<SealedAccess> {
  const config = await loadConfig(file, environment)
  const kms = requireSection(config, 'kms')
  const owner = { clusterId: kms.clusterId, keyPath: keyPath(config) }
  const { keys, use } = await readSealedKeys(file, kms.localKeys, owner)
  const reader = new SourceReader({
    transit: keys,
    place: config.transit,
    clusters: kms,
    clock: systemClock,
    uid: 'verify',
  })
  const acceptVaultKubernetesKms = kms.acceptFrom.includes('vault-kubernetes-kms')
  const confirm = async () => {
    const again = await readSealedKeys(file, kms.localKeys, owner)
    again.keys.end()
    if (again.keys.includes(keys)) return again.use
    throw new BridgeError(
      'STATE_INVALID',
      `${use.file} lost a local key while the store was read, so nothing is proved; run this again`,
    )
  }
  return { reader, acceptVaultKubernetesKms, confirm, close: () => keys.end() }
}

async function readSealedKeys(
  file: string,
  { enabled, sealedFile: path, nodeKeyFile, offlineForMs }: LocalKeysConfig,
  owner: SealedOwner,
): Promise<{ readonly keys: SealedKeys; readonly use: Omit<SealedFileUse, 'ofSnapshot'> }> {
  if (!enabled || path === undefined || nodeKeyFile === undefined)
    throw new BridgeError(
      'CONFIG_INVALID',
      `${file}: kms.localKeys has no sealedFile, so this node cannot start without Vault; see docs/availability.md`,
    )
  // The fault is thrown.
  const log = { warn: () => undefined }
  const sealed = new SealedFile({ path, nodeKeyFile, owner, log })
  const state = await sealed.load()
  const judged = judgeOfflineState(path, { state, fault: sealed.fault }, offlineForMs)
  if ('why' in judged) {
    wipeLocalKeys(state)
    const { why, fix } = judged
    throw new BridgeError(
      'STATE_INVALID',
      `cannot prove that this node can start without Vault: ${why}; ${fix}`,
    )
  }
  const keys = new SealedKeys(path, judged.state)
  const usableUntil = new Date(systemClock.now() + judged.leftMs).toISOString()
  return { keys, use: { file: path, localKeys: keys.size, usableUntil } }
}
