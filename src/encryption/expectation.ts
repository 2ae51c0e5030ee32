import type { EncryptionRule } from './document.ts'
import { findRule, findWriter } from './rules-file.ts'
import { formatResource, type Resource } from '../kube/resource.ts'

/** Which resources must be encrypted. */
export interface Expectation {
  /** Undefined means: all objects of the resource if any of them is encrypted. */
  isToBeEncrypted(resource: Resource): boolean | undefined
  /** The provider that writes it, in the form of labelProvider; undefined if unknown. */
  writerOf(resource: Resource): string | undefined
}

export interface ExpectationOptions {
  /** Of the API server's EncryptionConfiguration, if it was passed. */
  readonly rules?: readonly EncryptionRule[] | undefined
  /** From --resources; undefined means everything. */
  readonly resources?: readonly Resource[] | undefined
  /** From --allow: may be plaintext, whatever the rules say. */
  readonly allowed: readonly Resource[]
}

/** By the EncryptionConfiguration if it was passed; otherwise Secrets, and every resource with an encrypted object. */
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
