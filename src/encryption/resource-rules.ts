import type { Path } from '../yaml/fault.ts'
import type { Problem } from './decoder.ts'
import type { EncryptionRule } from './document.ts'

interface GroupResource {
  readonly group: string
  readonly resource: string
}

/** Resources without a REST API (apiserver: pkg/apis/apiserver/validation/validation_encryption.go, nonRESTAPIResourceErr). */
const NO_API = new Set(['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'])

/**
 * What kube-apiserver rejects in resources (apiserver: validation_encryption.go;
 * pkg/server/options/encryptionconfig/config.go).
 */
export function checkResources(rules: readonly EncryptionRule[]): readonly Problem[] {
  return [...rules.flatMap(checkRule), ...findMasked(rules)]
}

function checkRule({ at, resources }: EncryptionRule): readonly Problem[] {
  const place = [...at, 'resources']
  if (resources.length === 0) {
    return [{ at: place, message: 'has no resource', hint: 'add at least one, such as secrets' }]
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
    return problem('has uppercase letters', `write ${name.toLowerCase()}`)
  if (name === '*')
    return problem('is not a valid wildcard', 'write *. for the core group, or *.* for all')
  if (NO_API.has(name)) return problem('cannot be encrypted', 'remove it; it has no REST API')
  if (group === 'events.k8s.io')
    return problem('is stored as events of the core group', 'write events')
  if (group === 'extensions')
    return problem('belongs to a group that no longer exists', 'remove it')
  if (group === '*' && resource !== '*')
    return problem(
      'names one resource in all groups, which is not supported',
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
      : [{ at, message: `has ${format(twice[0])} twice`, hint: 'remove one' }]),
    ...(over === undefined
      ? []
      : [
          {
            at,
            message: `has ${format(over[0])} and ${format(over[1])}, and one includes the other`,
            hint: 'keep the wider one, or write a rule for each, the narrower one first',
          },
        ]),
  ]
}

/** A rule that never applies because an earlier wildcard covers it: kube-apiserver does not start. */
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

/** Whether the first includes the second. */
function covers(one: GroupResource, other: GroupResource): boolean {
  if (one.resource !== '*') return isSame(one, other)
  return one.group === '*' || one.group === other.group
}

/** Whether a rule covers a resource, in the notation of the document. */
export function isCovered(rule: Pick<EncryptionRule, 'resources'>, name: string): boolean {
  const wanted = parse(name)
  return rule.resources.some((resource) => covers(parse(resource), wanted))
}

/** Everything after the first dot is the group (apimachinery: pkg/runtime/schema, ParseGroupResource). */
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
