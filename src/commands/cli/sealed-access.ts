import type { LocalKeysConfig } from '../../config/config.ts'
import { keyPath } from '../../config/key-path.ts'
import { loadConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { BridgeError } from '../../errors.ts'
import { readStartReadiness, type SealedPlace } from '../../doctor/local-keys/start-readiness.ts'
import type { SealedOwner } from '../../kms/local/sealed-format.ts'
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
  localKeys: LocalKeysConfig,
  owner: SealedOwner,
): Promise<{ readonly keys: SealedKeys; readonly use: Omit<SealedFileUse, 'ofSnapshot'> }> {
  const place = requirePlace(file, localKeys)
  const judged = await readStartReadiness(place, owner)
  if ('why' in judged) {
    const { why, fix } = judged
    const reason = fix === undefined ? why : `${why}; ${fix}`
    throw new BridgeError(
      'STATE_INVALID',
      `cannot prove that this node can start without Vault: ${reason}`,
    )
  }
  const keys = new SealedKeys(place.sealedFile, judged.state)
  const usableUntil = new Date(systemClock.now() + judged.leftMs).toISOString()
  return { keys, use: { file: place.sealedFile, localKeys: keys.size, usableUntil } }
}

function requirePlace(
  file: string,
  { enabled, sealedFile, nodeKeyFile, offlineForMs }: LocalKeysConfig,
): SealedPlace {
  if (enabled && sealedFile !== undefined && nodeKeyFile !== undefined)
    return { sealedFile, nodeKeyFile, offlineForMs }
  const why =
    enabled || sealedFile === undefined
      ? 'kms.localKeys has no sealedFile'
      : 'kms.localKeys.enabled is false'
  throw new BridgeError(
    'CONFIG_INVALID',
    `${file}: ${why}, so this node cannot start without Vault; see docs/availability.md`,
  )
}
