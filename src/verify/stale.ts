import { escapeControls } from '../text/one-line.ts'
import type { GroupReport, Report, ResourceReport } from './report.ts'

/** What stored objects must be encrypted with. */
export interface WriteKeys {
  /** The hash of the key id by KMS v2 provider. */
  readonly hashes: ReadonlyMap<string, string>
  /** Whether a resource was to be rewritten. */
  readonly isTarget: (resource: string) => boolean
}

const KMS_V2 = 'kms v2 '
const OTHER_PROVIDER = /^(?:kms|aescbc|aesgcm|secretbox) /

/** The objects of each resource that the API servers would write differently now. Plaintext is counted elsewhere. */
export function listStale(report: Report, keys: WriteKeys): ReadonlyMap<string, number> {
  const counts = report.resources
    .filter(({ toBeEncrypted }) => toBeEncrypted)
    .map((each) => [each.resource, countStale(each, keys)] as const)
  return new Map(counts.filter(([, count]) => count > 0))
}

/** "3 of secrets not under version 2" */
export function describeStale(stale: ReadonlyMap<string, number>, what: string): string[] {
  return [...stale].map(
    ([resource, count]) => `${count.toLocaleString('en')} of ${escapeControls(resource)} ${what}`,
  )
}

function countStale(resource: ResourceReport, { hashes, isTarget }: WriteKeys): number {
  const { groups, otherProvider } = resource
  const isOld = (group: GroupReport) => {
    const hash = hashes.get(group.provider.slice(KMS_V2.length))
    if (group.provider.startsWith(KMS_V2) && hash !== undefined) return group.keyIdHash !== hash
    // Which provider should have written it is known from the rules, and is then counted in `otherProvider`.
    if (otherProvider !== undefined) return false
    return OTHER_PROVIDER.test(group.provider) && isTarget(resource.resource)
  }
  const old = groups.filter(isOld).reduce((sum, { objects }) => sum + objects, 0)
  return Math.max(old, otherProvider ?? 0)
}

/** The report without what is wrong with some resources. The key versions that they need stay in it. */
export function acceptResources(report: Report, accepted: ReadonlySet<string>): Report {
  const resources = report.resources.filter(({ resource }) => !accepted.has(resource))
  const sum = (of: (each: ResourceReport) => number | undefined) =>
    resources.reduce((all, each) => all + (of(each) ?? 0), 0)
  const plain = sum((each) => (each.toBeEncrypted ? each.plain : 0))
  const unreadable = sum((each) => each.unreadable)
  const unproven = sum((each) => each.unproven)
  const withoutProvider =
    report.withoutProvider === undefined ? undefined : sum((each) => each.withoutProvider)
  const faults = plain + unreadable + unproven + (withoutProvider ?? 0) + report.gaps.length
  return { ...report, ok: faults === 0, plain, unreadable, unproven, withoutProvider, resources }
}

/** What was accepted, each a sentence. */
export function describeAccepted(
  { resources }: Report,
  accepted: ReadonlySet<string>,
): readonly string[] {
  return resources
    .filter(({ resource }) => accepted.has(resource))
    .map(
      ({ resource, objects }) =>
        `not checked, because of --accept: ${objects.toLocaleString('en')} ${objects === 1 ? 'object' : 'objects'} of ${escapeControls(resource)}`,
    )
}
