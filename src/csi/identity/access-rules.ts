import type {
  CsiConfig,
  CsiOperation,
  CsiRule,
  ProviderTransitConfig,
} from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { joinNumbered } from '../../text/numbered.ts'
import { quoted } from '../../text/quoted.ts'
import type { PodReference } from '../mount-request.ts'
import { matchesAny } from './name-pattern.ts'
import { keysOf, nameObject, type ClassObject } from '../class/object-types.ts'
import { canonicalNamespace, fullPathOf, placeOf, type EnginePlace } from '../engine-place.ts'
import type { SecretProviderClass } from '../class/secret-provider-class.ts'

export interface AccessRulesOptions {
  readonly rules: readonly CsiRule[]
  /** The engine of rules and class objects that name none. */
  readonly home: EnginePlace
  /**
   * The KMS plugin's key. A pod that can decrypt with it can read every Secret in a copy of etcd, so only a rule with
   * its exact name allows it.
   */
  readonly guarded: GuardedKey | undefined
}

interface GuardedKey {
  readonly key: string
  readonly place: EnginePlace
}

/** The parts of a configuration that decide what pods may use. */
export interface AccessConfig {
  readonly csi: Pick<CsiConfig, 'rules' | 'mount'>
  readonly transit: ProviderTransitConfig
  /** vault.namespace */
  readonly vaultNamespace?: string | undefined
}

/** Returns the engine of rules and class objects that name none. */
export function homeOf({ csi, vaultNamespace = '' }: AccessConfig): EnginePlace {
  return { vaultNamespace: canonicalNamespace(vaultNamespace), mount: csi.mount }
}

export function createAccessRules(config: AccessConfig): AccessRules {
  const { key, mount } = config.transit
  const home = homeOf(config)
  const guarded = key === undefined ? undefined : { key, place: { ...home, mount } }
  return new AccessRules({ rules: config.csi.rules, home, guarded })
}

/** The rules that match a subject and its role, or why none matches. */
interface FoundRules {
  readonly rules: readonly CsiRule[]
  readonly denial: string | undefined
}

type Subject = Pick<PodReference, 'namespace' | 'serviceAccount'>

/** What a pod wants to do with a key, or with an engine if no key is involved. */
interface Use {
  readonly place: EnginePlace
  readonly key: string | undefined
  readonly allows: (rule: CsiRule) => boolean
  /** What no rule allows, with the name of its list. */
  readonly what: string
}

/** An operation at run time. Without a key: of the engine itself, such as random bytes. */
export interface WantedOperation {
  readonly place: EnginePlace
  readonly key?: string | undefined
  readonly operation: CsiOperation
}

/** What rules allow a pod with its role at run time. */
export interface RuntimeAccess {
  /** The engines in which a rule allows any operation, those with the longest mount path first. */
  readonly engines: readonly EnginePlace[]
  /** Throws RULE_DENIED unless a rule allows the operation: with its key, or with any key if it has none. */
  require(wanted: WantedOperation): void
  allows(wanted: WantedOperation): boolean
}

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

  /** Throws RULE_DENIED for a subject and role to which no rule allows any operation at run time in a Vault namespace. */
  requireAnyOperation(subject: Subject, role: string, vaultNamespace: string): void {
    const { denial } = this.#findRules(subject, role)
    if (denial !== undefined) throw deniedUse(denial)
    const { engines } = this.runtimeAccess(subject, role)
    if (engines.some((engine) => engine.vaultNamespace === vaultNamespace)) return
    const who = `${subject.namespace}/${subject.serviceAccount}`
    const where = engines.length > 0 ? ` in Vault namespace ${quoted(vaultNamespace)}` : ''
    throw deniedUse(`no rule for ${who} with role ${quoted(role)} has operations${where}`)
  }

  /** Finds the rules of a pod once, for all its requests. */
  runtimeAccess(subject: Subject, role: string): RuntimeAccess {
    const { rules, denial } = this.#findRules(subject, role)
    const who = `${subject.namespace}/${subject.serviceAccount}`
    const explain = ({ place, key, operation }: WantedOperation): string | undefined => {
      if (denial !== undefined) return denial
      const found = this.#findDenial(rules, {
        place,
        key,
        allows: ({ operations = [] }) => operations.includes(operation),
        what: `operation ${operation} (operations)`,
      })
      return found && `no rule for ${who} with role ${quoted(role)}${found}`
    }
    return {
      engines: rules
        .filter(({ operations = [] }) => operations.length > 0)
        .map((rule) => placeOf(rule, this.#options.home))
        .toSorted((one, other) => other.mount.length - one.mount.length),
      require: (wanted) => {
        const found = explain(wanted)
        if (found !== undefined) throw deniedUse(found)
      },
      allows: (wanted) => explain(wanted) === undefined,
    }
  }

  #findRules({ namespace, serviceAccount }: Subject, role: string | undefined): FoundRules {
    const ofNamespace = this.#options.rules.filter((rule) => matchesAny(rule.namespaces, namespace))
    if (ofNamespace.length === 0)
      return { rules: [], denial: `no rule matches namespace ${quoted(namespace)} (namespaces)` }
    const ofAccount = ofNamespace.filter((rule) => matchesAny(rule.serviceAccounts, serviceAccount))
    if (ofAccount.length === 0) {
      return {
        rules: [],
        denial: `no rule for namespace ${quoted(namespace)} matches service account ${quoted(serviceAccount)} (serviceAccounts)`,
      }
    }
    if (role === undefined) return { rules: ofAccount, denial: undefined }
    const ofRole = ofAccount.filter((rule) => matchesAny(rule.roles, role))
    const who = `${namespace}/${serviceAccount}`
    const denial =
      ofRole.length > 0 ? undefined : `no rule for ${who} matches role ${quoted(role)} (roles)`
    return { rules: ofRole, denial }
  }

  #explain(
    object: ClassObject,
    key: string,
    rules: readonly CsiRule[],
    who: string,
  ): string | undefined {
    const { type } = object
    const denial = this.#findDenial(rules, {
      place: placeOf(object, this.#options.home),
      key,
      allows: (rule) => rule.types.some((allowed) => allowed === type),
      what: `type ${type} (types)`,
    })
    return denial === undefined
      ? undefined
      : `${nameObject(object)}: no rule for ${who} with this role${denial}`
  }

  /** The end of a sentence about what no rule allows; undefined if a rule allows the use. */
  #findDenial(rules: readonly CsiRule[], { place, key, allows, what }: Use): string | undefined {
    const { home } = this.#options
    const ofPlace = rules.filter((rule) => isSame(placeOf(rule, home), place))
    if (ofPlace.length === 0) return ` allows ${describePlace(place, home)}`
    const within = isSame(place, home) ? '' : ' and this engine'
    if (key === undefined) return ofPlace.some(allows) ? undefined : `${within} allows ${what}`
    const isGuarded = this.#isGuarded(key, place)
    const ofKey = ofPlace.filter(({ keys }) =>
      isGuarded ? keys.includes(key) : matchesAny(keys, key),
    )
    const name = quoted(key)
    if (ofKey.length === 0) {
      return isGuarded
        ? `${within} lists key ${name} by its exact name (keys), which the key of the KMS plugin requires`
        : `${within} matches key ${name} (keys)`
    }
    return ofKey.some(allows) ? undefined : `${within} and key ${name} allows ${what}`
  }

  /** A Vault without namespaces ignores them, so the same mount path in another namespace is guarded, too. */
  #isGuarded(key: string, place: EnginePlace): boolean {
    const { guarded } = this.#options
    if (key !== guarded?.key) return false
    return place.mount === guarded.place.mount || fullPathOf(place) === fullPathOf(guarded.place)
  }
}

function denied(denials: readonly string[]): BridgeError {
  return new BridgeError(
    'RULE_DENIED',
    `csi.rules of transit-bridge do not allow this Mount: ${joinNumbered(denials)}; change the class, or ask the administrator of transit-bridge for a rule`,
  )
}

function deniedUse(denial: string): BridgeError {
  return new BridgeError(
    'RULE_DENIED',
    `csi.rules of transit-bridge do not allow this: ${denial}; ask the administrator of transit-bridge for a rule`,
  )
}

function isSame(one: EnginePlace, other: EnginePlace): boolean {
  return one.vaultNamespace === other.vaultNamespace && one.mount === other.mount
}

/** Names the namespace only where namespaces are used. */
function describePlace({ vaultNamespace, mount }: EnginePlace, home: EnginePlace): string {
  const ofMount = `mount ${quoted(mount)}`
  if (vaultNamespace === home.vaultNamespace) return `${ofMount} (mount)`
  const name = vaultNamespace === '' ? 'the root namespace of Vault' : quoted(vaultNamespace)
  return `${ofMount} in Vault namespace ${name} (mount, vaultNamespace)`
}
