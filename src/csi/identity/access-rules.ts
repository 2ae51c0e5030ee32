import type { CsiRule } from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { joinNumbered } from '../../text/numbered.ts'
import { quoted } from '../../text/quoted.ts'
import type { PodReference } from '../mount-request.ts'
import { matchesPattern } from './name-pattern.ts'
import { keysOf, nameObject, type ClassObject } from '../class/object-types.ts'
import type { SecretProviderClass } from '../class/secret-provider-class.ts'

export interface AccessRulesOptions {
  readonly rules: readonly CsiRule[]
  /**
   * The KMS plugin's key, if it is on the same mount. A pod that can decrypt with it can read every Secret in a copy
   * of etcd, so only a rule with its exact name allows it.
   */
  readonly guardedKey: string | undefined
}

/** The rules that match a subject and its role, or why none matches. */
interface FoundRules {
  readonly rules: readonly CsiRule[]
  readonly denial: string | undefined
}

type Subject = Pick<PodReference, 'namespace' | 'serviceAccount'>

/** The administrator's rules (csi.rules). Objects that no rule allows are denied without a request to Vault. */
export class AccessRules {
  readonly #options: AccessRulesOptions

  constructor(options: AccessRulesOptions) {
    this.#options = options
  }

  /**
   * Throws RULE_DENIED for a subject without a matching rule, before its class is parsed. The role is undefined if
   * the class has no valid one, which its parser reports.
   */
  requireSubject(subject: Subject, role: string | undefined): void {
    const { denial } = this.#findRules(subject, role)
    if (denial !== undefined) throw denied([denial])
  }

  /**
   * Throws RULE_DENIED. The message names each denied object and the list that has no match. It reveals nothing else
   * about the rules.
   */
  require(subject: Subject, wanted: SecretProviderClass): void {
    const denials = this.findDenials(subject, wanted)
    if (denials.length === 0) return
    throw denied(denials)
  }

  /** Returns the reasons why a class is denied; none if it is allowed. */
  findDenials(subject: Subject, wanted: SecretProviderClass): readonly string[] {
    const { rules, denial } = this.#findRules(subject, wanted.role)
    if (denial !== undefined) return [denial]
    const who = `${subject.namespace}/${subject.serviceAccount}`
    return wanted.objects.flatMap((object) =>
      keysOf(object).flatMap((key) => this.#explain(object, key, rules, who) ?? []),
    )
  }

  #findRules({ namespace, serviceAccount }: Subject, role: string | undefined): FoundRules {
    const ofNamespace = this.#options.rules.filter((rule) => fits(rule.namespaces, namespace))
    if (ofNamespace.length === 0)
      return { rules: [], denial: `no rule matches namespace ${quoted(namespace)} (namespaces)` }
    const ofAccount = ofNamespace.filter((rule) => fits(rule.serviceAccounts, serviceAccount))
    if (ofAccount.length === 0) {
      return {
        rules: [],
        denial: `no rule for namespace ${quoted(namespace)} matches service account ${quoted(serviceAccount)} (serviceAccounts)`,
      }
    }
    if (role === undefined) return { rules: ofAccount, denial: undefined }
    const ofRole = ofAccount.filter((rule) => fits(rule.roles, role))
    const who = `${namespace}/${serviceAccount}`
    const denial =
      ofRole.length > 0 ? undefined : `no rule for ${who} matches role ${quoted(role)} (roles)`
    return { rules: ofRole, denial }
  }

  #explain(
    object: ClassObject,
    name: string,
    rules: readonly CsiRule[],
    who: string,
  ): string | undefined {
    const ofKey = rules.filter((rule) => this.#fitsKey(rule, name))
    const key = quoted(name)
    const place = `${nameObject(object)}: no rule for ${who} with this role`
    if (ofKey.length === 0) {
      const guarded = name === this.#options.guardedKey
      return guarded
        ? `${place} lists key ${key} by its exact name (keys), which the key of the KMS plugin requires`
        : `${place} matches key ${key} (keys)`
    }
    if (ofKey.some((rule) => rule.types.includes(object.type))) return undefined
    return `${place} and key ${key} allows type ${object.type} (types)`
  }

  #fitsKey({ keys }: CsiRule, key: string): boolean {
    return key === this.#options.guardedKey ? keys.includes(key) : fits(keys, key)
  }
}

function denied(denials: readonly string[]): BridgeError {
  return new BridgeError(
    'RULE_DENIED',
    `csi.rules of transit-bridge do not allow this Mount: ${joinNumbered(denials)}; change the class, or ask the administrator of transit-bridge for a rule`,
  )
}

function fits(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name))
}
