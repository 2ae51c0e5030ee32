import type { CsiRule } from '../../config/config.ts'
import { placeOf, type EnginePlace } from '../engine-place.ts'
import { NamePatterns } from './name-pattern.ts'

/** A rule of csi.rules, prepared once for all decisions. */
export interface CompiledRule {
  readonly place: EnginePlace
  readonly namespaces: NamePatterns
  readonly serviceAccounts: NamePatterns
  readonly roles: NamePatterns
  readonly keys: NamePatterns
  readonly types: ReadonlySet<string>
  readonly operations: ReadonlySet<string>
}

/** @param home the engine of rules that name none */
export function compileRule(rule: CsiRule, home: EnginePlace): CompiledRule {
  return {
    place: placeOf(rule, home),
    namespaces: new NamePatterns(rule.namespaces),
    serviceAccounts: new NamePatterns(rule.serviceAccounts),
    roles: new NamePatterns(rule.roles),
    keys: new NamePatterns(rule.keys),
    types: new Set(rule.types),
    operations: new Set(rule.operations),
  }
}
