import type { Path } from '../yaml/fault.ts'
import type { Problem } from './decoder.ts'
import type { EncryptionRule } from './document.ts'

interface GroupResource {
  readonly group: string
  readonly resource: string
}

/** Resources without a REST API: k8s.io/apiserver validation_encryption.go, nonRESTAPIResourceErr. */
const NO_API = new Set(['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'])

/** What kube-apiserver refuses of the resources of all rules (validation_encryption.go, config.go of v1.37.2). */
export function checkResources(rules: readonly EncryptionRule[]): readonly Problem[] {
  return [...rules.flatMap(checkRule), ...findMasked(rules)]
}

function checkRule({ at, resources }: EncryptionRule): readonly Problem[] {
  const place = [...at, 'resources']
  if (resources.length === 0) {
    return [{ at: place, message: 'names no resource', hint: 'name at least one, such as secrets' }]
  }
  return [
    ...resources.flatMap((name, index) => checkName(name, [...place, index])),
    ...findOverlap(resources.map(parse), place),
  ]
}

function checkName(name: string, at: Path): readonly Problem[] {
  const { group, resource } = parse(name)
  const problem = (message: string, hint: string): readonly Problem[] => [{ at, message, hint }]
  if (name.toLowerCase() !== name)
    return problem('has capital letters', `write ${name.toLowerCase()}`)
  if (name === '*')
    return problem('is not a form that is known', 'write *. for the core group, or *.* for all')
  if (NO_API.has(name)) return problem('cannot be encrypted', 'take it away; it has no REST API')
  if (group === 'events.k8s.io') return problem('is stored under another name', 'write events')
  if (group === 'extensions') return problem('is of a group that no longer exists', 'take it away')
  if (group === '*' && resource !== '*')
    return problem(
      'is one resource of all groups, which is not supported',
      'name the group, or write *.*',
    )
  return []
}

function findOverlap(resources: readonly GroupResource[], at: Path): readonly Problem[] {
  const pairs = resources.flatMap((one, index) =>
    resources.slice(index + 1).map((other) => [one, other] as const),
  )
  const twice = pairs.find(([one, other]) => isSame(one, other))
  const over = pairs.find(
    ([one, other]) => !isSame(one, other) && (covers(one, other) || covers(other, one)),
  )
  return [
    ...(twice === undefined
      ? []
      : [{ at, message: `names ${format(twice[0])} twice`, hint: 'keep one' }]),
    ...(over === undefined
      ? []
      : [
          {
            at,
            message: `names ${format(over[0])} and ${format(over[1])}, of which one is part of the other`,
            hint: 'keep the wider one, or make a rule for each, the narrow one first',
          },
        ]),
  ]
}

/** A rule that can never apply, since an earlier one with a * took all of it: kube-apiserver does not start. */
function findMasked(rules: readonly EncryptionRule[]): readonly Problem[] {
  const earlier: GroupResource[] = []
  const problems: Problem[] = []
  for (const { at, resources } of rules) {
    const own = resources.map(parse)
    own.forEach((one, index) => {
      const mask = earlier.find((other) => other.resource === '*' && covers(other, one))
      if (mask === undefined) return
      problems.push({
        at: [...at, 'resources', index],
        message: `${format(one)} is masked by the earlier rule for ${format(mask)}`,
        hint: 'put the narrower rule first',
      })
    })
    earlier.push(...own)
  }
  return problems
}

/** Whether the first takes in all of the second. */
function covers(one: GroupResource, other: GroupResource): boolean {
  if (one.resource !== '*') return isSame(one, other)
  return one.group === '*' || one.group === other.group
}

/** Whether a resource, in the form of the document, is encrypted by a rule. */
export function isCovered(rule: EncryptionRule, name: string): boolean {
  const wanted = parse(name)
  return rule.resources.some((resource) => covers(parse(resource), wanted))
}

/** schema.ParseGroupResource: all behind the first dot is the group. */
function parse(name: string): GroupResource {
  const dot = name.indexOf('.')
  return dot < 0
    ? { group: '', resource: name }
    : { group: name.slice(dot + 1), resource: name.slice(0, dot) }
}

function format({ group, resource }: GroupResource): string {
  return group === '' && resource !== '*' ? resource : `${resource}.${group}`
}

function isSame(one: GroupResource, other: GroupResource): boolean {
  return one.group === other.group && one.resource === other.resource
}
