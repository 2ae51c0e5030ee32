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

/** The oldest Transit key version that stored objects need; undefined if they need none. */
export function oldestVersion(report: Report): number | undefined {
  const versions = report.keyVersionsNeeded.flatMap((each) => each.versions)
  return versions.length === 0 ? undefined : Math.min(...versions)
}
