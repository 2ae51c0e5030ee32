import type { Report } from '../../../src/verify/report.ts'
import { groupName, sortedRecord, type Truth } from './truth.ts'

/** A report in the form of the truth that it is compared with. */
export function reported(report: Report): Truth {
  const { ok, objects, seeds, plain, unreadable, unproven, withoutProvider = 0 } = report
  const keysOf = (list: readonly { readonly key: string }[]) =>
    list.map(({ key }) => key).toSorted()
  return {
    ok,
    objects,
    seeds,
    plain,
    unreadable,
    unproven,
    withoutProvider,
    gaps: report.gaps.map(subjectOf).toSorted(),
    resources: sortedRecord(
      report.resources.map((each) => [
        each.resource,
        {
          toBeEncrypted: each.toBeEncrypted,
          objects: each.objects,
          plain: each.plain,
          unreadable: each.unreadable,
          unproven: each.unproven,
          ...(each.otherProvider === undefined ? {} : { otherProvider: each.otherProvider }),
          groups: sortedRecord(
            each.groups.map((group) => [
              groupName(group.provider, group.keyId, group.keyVersion),
              [group.objects, group.seeds],
            ]),
          ),
          plainKeys: [...each.plainKeys].toSorted(),
          unreadableKeys: keysOf(each.unreadableKeys),
          unprovenKeys: keysOf(each.unprovenKeys),
        },
      ]),
    ),
    keyVersionsNeeded: sortedRecord(
      report.keyVersionsNeeded.map(({ provider, versions }) => [provider, versions]),
    ),
  }
}

const SUBJECTS: readonly (readonly [RegExp, (found: string) => string])[] = [
  [/namespaces\/(kube-system) does not exist/, () => 'cluster'],
  [/^no object was read, (so) nothing/, () => 'nothing read'],
  [/^there is no encrypted object, (so) nothing/, () => 'nothing encrypted'],
  [/^(\S+) must be encrypted, but was not found/, (found) => found],
  [/pass --allow (\S+) if they may be plaintext/, (found) => `path ${found}`],
]

function subjectOf(gap: string): string {
  for (const [pattern, name] of SUBJECTS) {
    const found = pattern.exec(gap)?.[1]
    if (found !== undefined) return name(found)
  }
  return gap
}
