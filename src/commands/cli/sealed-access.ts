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
   * Reads the file again, because it may have changed while the store was read. It is a gap if a plugin cannot start from it any
   * longer, or if it has lost a local key.
   */
  confirm(): Promise<FileUse | FileGap>
  /** Zeroes the local keys. */
  close(): void
}

type FileUse = Omit<SealedFileUse, 'ofSnapshot'>

/** Why the file proves nothing, as a sentence. */
interface FileGap {
  readonly gap: string
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
  const place = requirePlace(file, kms.localKeys)
  const found = await readSealedKeys(place, owner)
  if ('gap' in found) throw new BridgeError('STATE_INVALID', found.gap)
  const { keys, use } = found
  const reader = new SourceReader({
    transit: keys,
    place: config.transit,
    clusters: kms,
    clock: systemClock,
    uid: 'verify',
  })
  const acceptVaultKubernetesKms = kms.acceptFrom.includes('vault-kubernetes-kms')
  const confirm = async () => {
    const again = await readSealedKeys(place, owner)
    if ('gap' in again) return again
    again.keys.end()
    if (again.keys.includes(keys)) return again.use
    const gap = `${use.file} lost a local key while the store was read, so nothing is proved; run this again`
    return { gap }
  }
  return { reader, acceptVaultKubernetesKms, confirm, close: () => keys.end() }
}

async function readSealedKeys(
  place: SealedPlace,
  owner: SealedOwner,
): Promise<{ readonly keys: SealedKeys; readonly use: FileUse } | FileGap> {
  const judged = await readStartReadiness(place, owner)
  if ('why' in judged) {
    const { why, fix } = judged
    const reason = fix === undefined ? why : `${why}; ${fix}`
    return { gap: `cannot prove that this node can start without Vault: ${reason}` }
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
