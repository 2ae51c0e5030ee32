import type { Config, ProviderConfig } from './config.ts'
import type { Path } from '../yaml/fault.ts'
import { describeMissing, type LocatedFault } from './issues.ts'
import { readAt } from './shape.ts'

/**
 * What only a file for `transit-bridge csi` alone may leave out, outer keys first. The schema, which is one for all
 * files, lets it be left out everywhere; messages, the JSON Schema and the reference take from here when it is needed.
 */
export const NEEDED_WITH_KMS: readonly Path[] = [['vault', 'auth'], ['transit'], ['transit', 'key']]

/** Whether the file is for more than the provider: it has the section `kms`, right or wrong. */
export function hasKms(value: unknown): boolean {
  return readAt(value, ['kms']) !== undefined
}

/** A fault for each key of NEEDED_WITH_KMS that a file leaves out. */
export function findMissing(value: unknown): readonly LocatedFault[] {
  return NEEDED_WITH_KMS.filter((at) => lacks(value, at)).flatMap(
    (at) => describeMissing(at, value) ?? [],
  )
}

/** Whether nothing of NEEDED_WITH_KMS is left out of what was read. */
export function isComplete(config: ProviderConfig): config is Config {
  return config.vault.auth !== undefined && config.transit.key !== undefined
}

/** Not where there is no mapping that the key could be in: that is a fault of its own. */
function lacks(value: unknown, at: Path): boolean {
  const parent = readAt(value, at.slice(0, -1))
  if (typeof parent !== 'object' || parent === null || Array.isArray(parent)) return false
  return readAt(value, at) === undefined
}
