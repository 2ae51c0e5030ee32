import { BridgeError } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import type { WantedVersion } from '../class/object-types.ts'

/** Returns the key versions of an object, oldest first. Throws OBJECT_MISSING if the wanted version is not available. */
export function findVersions(key: TransitKey, wanted: WantedVersion): readonly number[] {
  const live = [...key.versions.keys()].toSorted((one, other) => one - other)
  if (wanted === 'all') return live
  const version = wanted === 'latest' ? key.latestVersion : wanted
  if (key.versions.has(version)) return [version]
  throw new BridgeError(
    'OBJECT_MISSING',
    `transit key ${key.name} has no version ${String(version)}: Vault lists ${describe(live)} (min_decryption_version ${String(key.minDecryptionVersion)})`,
  )
}

/** Returns the path of a version's file: in a folder for `all`, otherwise the path itself. */
export function placeVersion(path: string, wanted: WantedVersion, version: number): string {
  return wanted === 'all' ? `${path}/${String(version)}` : path
}

function describe(live: readonly number[]): string {
  const [first] = live
  if (first === undefined) return 'none'
  const last = live.at(-1) ?? first
  return first === last ? String(first) : `${String(first)} to ${String(last)}`
}
