import type { EncryptionRule } from './document.ts'
import { findRule, findWriter } from './rules-file.ts'
import { formatResource, type Resource } from '../kube/resource.ts'

/** What is to be encrypted. */
export interface Expectation {
  /** Undefined: if any object of the resource is encrypted, then all must be. */
  isToBeEncrypted(resource: Resource): boolean | undefined
  /** What writes it now, in the form of labelProvider; undefined if that is not known. */
  writerOf(resource: Resource): string | undefined
}

export interface ExpectationOptions {
  /** Of the API server; undefined if it is not given. */
  readonly rules?: readonly EncryptionRule[]
  /** What was asked for by name; undefined: everything. */
  readonly resources?: readonly Resource[]
  /** Meant to be plain, whatever else is said. */
  readonly allowed: readonly Resource[]
}

/** By the EncryptionConfiguration where it is given; otherwise Secrets, and what is found encrypted. */
export function makeExpectation(options: ExpectationOptions): Expectation {
  const { rules, resources } = options
  const allowed = new Set(options.allowed.map(formatResource))
  const writerOf = (resource: Resource) => {
    const rule = rules === undefined ? undefined : findRule(rules, resource)
    return rule === undefined ? undefined : findWriter(rule)
  }
  return {
    isToBeEncrypted(resource) {
      if (allowed.has(formatResource(resource))) return false
      if (rules !== undefined) return writerOf(resource) !== undefined
      if (resources !== undefined) return true
      return formatResource(resource) === 'secrets' ? true : undefined
    },
    writerOf,
  }
}
