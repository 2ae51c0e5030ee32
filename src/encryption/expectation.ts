import type { EncryptionRule } from './document.ts'
import { isCovered } from './resource-rules.ts'
import { findReaders, findRule, findWriter, PLAINTEXT } from './rules-file.ts'
import {
  formatResource,
  isNeverEncrypted,
  parseGroupResource,
  type Resource,
} from '../kube/resource.ts'

/** Which resources must be encrypted, and which providers can read them. */
export interface Expectation {
  /** Undefined means: all objects of the resource if any of them is encrypted. */
  isToBeEncrypted(resource: Resource): boolean | undefined
  /** The provider that writes it, in the form of labelProvider; undefined if unknown. */
  writerOf(resource: Resource): string | undefined
  /** Whether the API server can read data of a provider, in the form of labelProvider or PLAINTEXT; undefined if unknown. */
  canRead(resource: Resource, provider: string): boolean | undefined
  /** Whether the EncryptionConfiguration was passed and no rule of it covers the resource. */
  isWithoutRule(resource: Resource): boolean
  /** Resources that are named one by one and must be encrypted. */
  readonly named: readonly Resource[]
  /** All providers of the EncryptionConfiguration, in the form of labelProvider. */
  readonly providers: readonly string[]
}

export interface ExpectationOptions {
  /** Of the API server's EncryptionConfiguration, if it was passed. */
  readonly rules?: readonly EncryptionRule[] | undefined
  /** From --resources; undefined means everything. */
  readonly resources?: readonly Resource[] | undefined
  /** Resources and wildcards, as an EncryptionConfiguration names them, that must be encrypted unless its rules were passed. */
  readonly patterns?: readonly string[] | undefined
  /** From --allow: may be plaintext, regardless of the rules. */
  readonly allowed: readonly Resource[]
}

/** By the EncryptionConfiguration if it was passed; otherwise Secrets, and every resource with an encrypted object. */
export function makeExpectation(options: ExpectationOptions): Expectation {
  const { rules, resources, patterns = [] } = options
  const allowed = new Set(options.allowed.map(formatResource))
  const ruleOf = (resource: Resource) =>
    rules === undefined || isNeverEncrypted(resource) ? undefined : findRule(rules, resource)
  const writerOf = (resource: Resource) => {
    const rule = ruleOf(resource)
    return rule === undefined ? undefined : findWriter(rule)
  }
  return {
    isToBeEncrypted(resource) {
      if (isNeverEncrypted(resource) || allowed.has(formatResource(resource))) return false
      if (resources !== undefined) return true
      if (rules !== undefined) return writerOf(resource) !== undefined
      const name = formatResource(resource)
      return name === 'secrets' || isCovered({ resources: patterns }, name) ? true : undefined
    },
    writerOf,
    canRead(resource, provider) {
      if (rules === undefined) return undefined
      const rule = ruleOf(resource)
      return rule === undefined ? provider === PLAINTEXT : findReaders(rule).has(provider)
    },
    isWithoutRule: (resource) =>
      rules !== undefined &&
      !allowed.has(formatResource(resource)) &&
      ruleOf(resource) === undefined,
    providers: (rules ?? []).flatMap((rule) => [...findReaders(rule)]),
    named: (resources ?? (rules === undefined ? listExact(patterns) : listNamed(rules))).filter(
      (resource) => !allowed.has(formatResource(resource)),
    ),
  }
}

/** The resources that rules name without a wildcard, except those that identity writes. */
function listNamed(rules: readonly EncryptionRule[]): readonly Resource[] {
  return rules
    .filter((rule) => findWriter(rule) !== undefined)
    .flatMap(({ resources }) => listExact(resources))
}

function listExact(patterns: readonly string[]): readonly Resource[] {
  return patterns.filter((name) => !name.startsWith('*')).map(parseGroupResource)
}
