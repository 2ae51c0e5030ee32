import type {
  CsiConfig,
  CsiOperation,
  CsiRule,
  ProviderTransitConfig,
} from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { doAtOnce, doInTurns, type Parts } from '../../time/parts.ts'
import { joinNumbered } from '../../text/numbered.ts'
import { quoted } from '../../text/quoted.ts'
import type { PodReference } from '../mount-request.ts'
import { compileRule, type CompiledRule } from './compiled-rule.ts'
import { keysOf, nameObject, type ClassObject } from '../class/object-types.ts'
import {
  canonicalNamespace,
  fullPathOf,
  identifyPlace,
  placeOf,
  type EnginePlace,
} from '../engine-place.ts'
import type { SecretProviderClass } from '../class/secret-provider-class.ts'

/** A few milliseconds. Many patterns and many keys of a class would otherwise hold the event loop for longer than 50 ms. */
const MAX_TRIES_AT_ONCE = 50_000

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
  readonly rules: readonly CompiledRule[]
  readonly denial: string | undefined
}

type Subject = Pick<PodReference, 'namespace' | 'serviceAccount'>

/** What a pod wants to do with a key, or with an engine if no key is involved. */
interface Use {
  readonly place: EnginePlace
  readonly key: string | undefined
  readonly allows: (rule: CompiledRule) => boolean
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
  readonly #options: Omit<AccessRulesOptions, 'rules'>
  readonly #rules: readonly CompiledRule[]

  constructor({ rules, ...options }: AccessRulesOptions) {
    this.#options = options
    this.#rules = rules.map((rule) => compileRule(rule, options.home))
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
   * about the rules. Other work runs between its parts.
   */
  async require(subject: Subject, wanted: SecretProviderClass): Promise<void> {
    const denials = await doInTurns(this.#findDenialsInParts(subject, wanted))
    if (denials.length > 0) throw denied(denials)
  }

  /** Returns the reasons why a class is denied; none if it is allowed. */
  findDenials(subject: Subject, wanted: SecretProviderClass): readonly string[] {
    return doAtOnce(this.#findDenialsInParts(subject, wanted))
  }

  *#findDenialsInParts(subject: Subject, wanted: SecretProviderClass): Parts<readonly string[]> {
    const { rules, denial } = this.#findRules(subject, wanted.role)
    if (denial !== undefined) return [denial]
    const who = `${subject.namespace}/${subject.serviceAccount}`
    const triesPerKey = rules.reduce((sum, { keys }) => sum + 1 + keys.tries, 0)
    const known = new Map<string, string | undefined>()
    const denials: string[] = []
    let tries = 0
    for (const object of wanted.objects) {
      for (const key of keysOf(object)) {
        const place = placeOf(object, this.#options.home)
        const id = `${identifyPlace(place)} ${key} ${object.type}`
        if (!known.has(id)) {
          tries += triesPerKey
          if (tries > MAX_TRIES_AT_ONCE) yield
          tries %= MAX_TRIES_AT_ONCE
          known.set(id, this.#explain(object.type, { place, key }, rules, who))
        }
        const found = known.get(id)
        if (found !== undefined) denials.push(`${nameObject(object)}: ${found}`)
      }
    }
    return denials
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
        allows: ({ operations }) => operations.has(operation),
        what: `operation ${operation} (operations)`,
      })
      return found && `no rule for ${who} with role ${quoted(role)}${found}`
    }
    return {
      engines: rules
        .filter(({ operations }) => operations.size > 0)
        .map(({ place }) => place)
        .toSorted((one, other) => other.mount.length - one.mount.length),
      require: (wanted) => {
        const found = explain(wanted)
        if (found !== undefined) throw deniedUse(found)
      },
      allows: (wanted) => explain(wanted) === undefined,
    }
  }

  #findRules({ namespace, serviceAccount }: Subject, role: string | undefined): FoundRules {
    const ofNamespace = this.#rules.filter((rule) => rule.namespaces.matches(namespace))
    if (ofNamespace.length === 0)
      return { rules: [], denial: `no rule matches namespace ${quoted(namespace)} (namespaces)` }
    const ofAccount = ofNamespace.filter((rule) => rule.serviceAccounts.matches(serviceAccount))
    if (ofAccount.length === 0) {
      return {
        rules: [],
        denial: `no rule for namespace ${quoted(namespace)} matches service account ${quoted(serviceAccount)} (serviceAccounts)`,
      }
    }
    if (role === undefined) return { rules: ofAccount, denial: undefined }
    const ofRole = ofAccount.filter((rule) => rule.roles.matches(role))
    const who = `${namespace}/${serviceAccount}`
    const denial =
      ofRole.length > 0 ? undefined : `no rule for ${who} matches role ${quoted(role)} (roles)`
    return { rules: ofRole, denial }
  }

  #explain(
    type: ClassObject['type'],
    wanted: Pick<Use, 'place' | 'key'>,
    rules: readonly CompiledRule[],
    who: string,
  ): string | undefined {
    const denial = this.#findDenial(rules, {
      ...wanted,
      allows: ({ types }) => types.has(type),
      what: `type ${type} (types)`,
    })
    return denial && `no rule for ${who} with this role${denial}`
  }

  /** The end of a sentence about what no rule allows; undefined if a rule allows the use. */
  #findDenial(
    rules: readonly CompiledRule[],
    { place, key, allows, what }: Use,
  ): string | undefined {
    const { home } = this.#options
    const ofPlace = rules.filter((rule) => isSame(rule.place, place))
    if (ofPlace.length === 0) return ` allows ${describePlace(place, home)}`
    const within = isSame(place, home) ? '' : ' and this engine'
    if (key === undefined) return ofPlace.some(allows) ? undefined : `${within} allows ${what}`
    const isGuarded = this.#isGuarded(key, place)
    const ofKey = ofPlace.filter(({ keys }) => (isGuarded ? keys.names(key) : keys.matches(key)))
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
