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
import type { Serving } from '../kube/discovery.ts'
import { findNearest } from '../text/nearest.ts'
import type { EncryptionRule } from './document.ts'
import type { SafetyProblem } from './fault.ts'

/**
 * Names in `resources` that kube-apiserver accepts and that match nothing: it does not compare them with what it serves.
 * Custom resources cannot be known here, so they are only noted.
 */
export function checkResourceNames(
  rules: readonly EncryptionRule[],
  serving: ReadonlyMap<string, Serving> = new Map(),
): readonly SafetyProblem[] {
  return rules.flatMap(({ at, resources }) =>
    resources.flatMap((name, index) => {
      const judged = judgeName(name, serving.get(name))
      return judged === undefined ? [] : [{ at: [...at, 'resources', index], ...judged }]
    }),
  )
}

type Judgment = Omit<SafetyProblem, 'at'>

function judgeName(text: string, serving: Serving | undefined): Judgment | undefined {
  const resource = parseGroupResource(text)
  if (text === '' || text === '*' || text === '*.*' || text !== text.toLowerCase()) return undefined
  if (resource.name === '*') return judgeGroup(resource.group, serving)
  if (isNeverEncrypted(resource))
    return unsafe('is never encrypted, no matter what the configuration says', 'remove it')
  if (isBuiltIn(resource)) return undefined
  if (!isFormed(resource)) return unsafe('cannot be the name of a resource', `use NAME.GROUP`)
  return judgeUnknown(resource, serving)
}

function judgeGroup(group: string, serving: Serving | undefined): Judgment | undefined {
  if (group === '' || knownGroups().includes(group)) return undefined
  if (isCustom(group)) return custom('group', serving)
  const near = findNearest(group, knownGroups())
  const hint = near === undefined ? 'remove it' : `did you mean *.${near}?`
  return unsafe('matches no group of Kubernetes', hint)
}

function judgeUnknown(resource: Resource, serving: Serving | undefined): Judgment | undefined {
  const { name, group } = resource
  if (isCustom(group)) return custom('resource', serving)
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
      : `did you mean ${formatKnown(near)}?`
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

function custom(kind: 'group' | 'resource', serving: Serving | undefined): Judgment | undefined {
  switch (serving) {
    case 'served':
      return undefined
    case 'aggregated':
      return unsafe(
        `is a ${kind} of an aggregated API server, which does not use this file`,
        'remove it, and encrypt it there',
      )
    case 'absent':
      return unsafe(
        `is not a ${kind} that the API server serves`,
        'compare it with kubectl api-resources',
      )
    case undefined: {
      const message = `is not a ${kind} that comes with Kubernetes, so this check cannot determine whether it exists`
      const hint = 'pass --kubeconfig, or compare it with kubectl api-resources'
      return { severity: 'note', message, hint }
    }
  }
}

/** The names that only the API server knows. */
export function listCustomNames(rules: readonly EncryptionRule[]): readonly string[] {
  const names = rules.flatMap(({ resources }) => resources)
  return [...new Set(names)].filter((name) => {
    const resource = parseGroupResource(name)
    return name === name.toLowerCase() && !isBuiltIn(resource) && isCustom(resource.group)
  })
}
