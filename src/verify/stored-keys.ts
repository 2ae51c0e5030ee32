import type { GroupReport, Report } from './report.ts'

/** How the objects that are to be encrypted are spread over what they were written with. */
export interface StoredShare {
  /** Of the Transit key; undefined for what is of another provider. */
  readonly keyVersion?: number
  readonly provider: string
  readonly keyIdHash?: string
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
      ...(keyIdHash === undefined ? {} : { keyIdHash }),
      ...(keyVersion === undefined ? {} : { keyVersion }),
    }))
    .toSorted((one, other) => (other.keyVersion ?? 0) - (one.keyVersion ?? 0))
}

/**
 * Objects that are not as the API servers would write them now: under another key than `hashes`, or by another provider
 * than the one that writes.
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

/** The oldest Transit key version that stored objects need; undefined if none do. */
export function oldestVersion(report: Report): number | undefined {
  const versions = report.keyVersionsNeeded.flatMap((each) => each.versions)
  return versions.length === 0 ? undefined : Math.min(...versions)
}
