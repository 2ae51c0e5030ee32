import type { Config, ProviderConfig } from './config.ts'
import type { Path } from '../yaml/fault.ts'
import { describeMissing, type LocatedFault } from './issues.ts'
import { readAt } from './shape.ts'

/**
 * Keys that only a file without a `kms` section may omit, outer keys first. In the schema, which all files share, they
 * are optional; messages, the JSON Schema and the reference take from this list when they are required.
 */
export const REQUIRED_WITH_KMS: readonly Path[] = [
  ['vault', 'auth'],
  ['transit'],
  ['transit', 'key'],
]

/** Whether the file has a section `kms`, valid or not, and so is not for the provider alone. */
export function hasKms(value: unknown): boolean {
  return readAt(value, ['kms']) !== undefined
}

/** Whether the file is for the provider alone: it has a section `csi`, valid or not, and no section `kms`. */
export function isProviderAlone(value: unknown): boolean {
  return !hasKms(value) && readAt(value, ['csi']) !== undefined
}

/** A fault for each missing key of REQUIRED_WITH_KMS. */
export function findMissing(value: unknown): readonly LocatedFault[] {
  return REQUIRED_WITH_KMS.filter((at) => lacks(value, at)).flatMap(
    (at) => describeMissing(at, value) ?? [],
  )
}

/** Whether a configuration has all keys of REQUIRED_WITH_KMS. */
export function isComplete(config: ProviderConfig): config is Config {
  return config.vault.auth !== undefined && config.transit.key !== undefined
}

/** False if the parent is not a mapping: that is a separate fault. */
function lacks(value: unknown, at: Path): boolean {
  const parent = readAt(value, at.slice(0, -1))
  if (typeof parent !== 'object' || parent === null || Array.isArray(parent)) return false
  return readAt(value, at) === undefined
}
