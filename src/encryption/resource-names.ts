import {
  formatResource,
  isBuiltIn,
  isNeverEncrypted,
  knownGroups,
  knownResources,
  parseGroupResource,
  parseResource,
  type Resource,
} from '../kube/resource.ts'
import { findNearest } from '../text/nearest.ts'
import type { EncryptionRule } from './document.ts'
import type { SafetyProblem } from './fault.ts'

/**
 * Names in `resources` that kube-apiserver accepts and that match nothing: it does not compare them with what it serves.
 * Custom resources cannot be known here, so they are only noted.
 */
export function checkResourceNames(rules: readonly EncryptionRule[]): readonly SafetyProblem[] {
  return rules.flatMap(({ at, resources }) =>
    resources.flatMap((name, index) => {
      const judged = judgeName(name)
      return judged === undefined ? [] : [{ at: [...at, 'resources', index], ...judged }]
    }),
  )
}

type Judgment = Omit<SafetyProblem, 'at'>

function judgeName(text: string): Judgment | undefined {
  const resource = parseGroupResource(text)
  if (text === '' || text === '*' || text === '*.*' || text !== text.toLowerCase()) return undefined
  if (resource.name === '*') return judgeGroup(resource.group)
  if (isNeverEncrypted(resource))
    return unsafe('is never encrypted, whatever the configuration says', 'remove it')
  if (isBuiltIn(resource)) return undefined
  if (!isFormed(resource)) return unsafe('cannot be the name of a resource', `use NAME.GROUP`)
  return judgeUnknown(resource)
}

function judgeGroup(group: string): Judgment | undefined {
  if (group === '' || knownGroups().includes(group)) return undefined
  if (isCustom(group)) return custom('group')
  const near = findNearest(group, knownGroups())
  const hint = near === undefined ? 'remove it' : `did you mean *.${near}`
  return unsafe('matches no group of Kubernetes', hint)
}

function judgeUnknown(resource: Resource): Judgment {
  const { name, group } = resource
  if (isCustom(group)) return custom('resource')
  const elsewhere = parseResource(name)
  if (elsewhere !== undefined)
    return unsafe(
      `matches nothing: ${name} are in ${nameGroup(elsewhere.group)}`,
      `write ${formatResource(elsewhere)}`,
    )
  const near = findNearest(name, knownResources())
  const hint =
    near === undefined
      ? 'write custom resources as NAME.GROUP'
      : `did you mean ${formatKnown(near)}`
  return unsafe('is not a resource of Kubernetes', hint)
}

function isCustom(group: string): boolean {
  return group.includes('.') && !knownGroups().includes(group)
}

function isFormed({ name, group }: Resource): boolean {
  return /^[a-z0-9-]+$/.test(name) && /^[a-z0-9.-]*$/.test(group)
}

function formatKnown(name: string): string {
  const resource = parseResource(name)
  return resource === undefined ? name : formatResource(resource)
}

function nameGroup(group: string): string {
  return group === '' ? 'the core group' : `the group ${group}`
}

function unsafe(message: string, hint: string): Judgment {
  return { severity: 'unsafe', message, hint }
}

function custom(kind: 'group' | 'resource'): Judgment {
  const message = `is not a ${kind} that comes with Kubernetes, so this check cannot tell whether it exists`
  return { severity: 'note', message, hint: 'compare it with kubectl api-resources' }
}
