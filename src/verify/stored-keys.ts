import type { GroupReport, Report } from './report.ts'

/** Objects that must be encrypted, by what encrypts them. */
export interface StoredShare {
  /** Of the Transit key; undefined for other providers. */
  readonly keyVersion?: number | undefined
  readonly provider: string
  readonly keyIdHash?: string | undefined
  readonly objects: number
}

/** Newest key version first. */
export function sharesOf({ resources }: Report): readonly StoredShare[] {
  const shares = new Map<string, GroupReport & { objects: number }>()
  for (const group of resources
    .filter((each) => each.toBeEncrypted)
    .flatMap((each) => each.groups)) {
    const id = `${group.provider} ${group.keyIdHash ?? ''} ${String(group.keyVersion ?? '')}`
    const known = shares.get(id)
    shares.set(id, { ...group, objects: group.objects + (known?.objects ?? 0) })
  }
  return [...shares.values()]
    .map(({ provider, keyIdHash, keyVersion, objects }) => ({
      provider,
      objects,
      keyIdHash,
      keyVersion,
    }))
    .toSorted((one, other) => (other.keyVersion ?? 0) - (one.keyVersion ?? 0))
}

/**
 * Counts objects that the API servers would write differently now: with another key than those in `hashes`, or with another
 * provider.
 */
export function countStale(report: Report, hashes: ReadonlySet<string>): number {
  const stale = ({ provider, keyIdHash }: GroupReport) =>
    keyIdHash === undefined ? provider.startsWith('kms') : !hashes.has(keyIdHash)
  const byKey = report.resources
    .filter((each) => each.toBeEncrypted)
    .flatMap((each) => each.groups)
    .filter((group) => hashes.size > 0 && stale(group))
    .reduce((sum, { objects }) => sum + objects, 0)
  const byProvider = report.resources.reduce((sum, each) => sum + (each.otherProvider ?? 0), 0)
  return Math.max(byKey, byProvider)
}

/** The oldest Transit key version that stored objects need; undefined if they need none. */
export function oldestVersion(report: Report): number | undefined {
  const versions = report.keyVersionsNeeded.flatMap((each) => each.versions)
  return versions.length === 0 ? undefined : Math.min(...versions)
}
