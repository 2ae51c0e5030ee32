import type { Value } from '../operator/right.ts'
import type { Values } from '../operator/right.ts'
import { readTexts, type Settings } from '../operator/vault-settings.ts'

/** Life of a token that is longer than any plugin needs, in seconds. */
const LONG_LIFE = 24 * 3600

/** How a role differs from what it should be. */
export interface RoleDifference {
  /** The fields to write. */
  readonly body: Values
  readonly details: readonly string[]
  readonly wider: readonly string[]
}

/**
 * Compares what a role must say with what it says. Fields that are not in `wanted` are somebody's own, mostly narrower
 * limits such as token_bound_cidrs, and stay; what makes a role wider is found wherever it is.
 */
export function compareRole(found: Settings, wanted: Values): RoleDifference {
  const fields = Object.entries(wanted).filter(([name, value]) => !isSame(found[name], value))
  const body = Object.fromEntries([...fields, ...findLooseLimits(found)])
  return {
    body,
    details: Object.entries(body).map(
      ([name, value]) => `${name}: ${show(found[name])} -> ${show(value)}`,
    ),
    wider: Object.entries(body).flatMap(([name, value]) => explainWider(name, found[name], value)),
  }
}

function findLooseLimits(found: Settings): readonly (readonly [string, Value])[] {
  const life = Number(found['token_ttl'] ?? 0)
  const period = Number(found['token_period'] ?? 0)
  return [
    ...(life > LONG_LIFE ? [['token_ttl', 3600] as const] : []),
    ...(period > LONG_LIFE ? [['token_period', 0] as const] : []),
    ...['expiration_leeway', 'not_before_leeway', 'clock_skew_leeway']
      .filter((name) => Number(found[name] ?? 0) > 300)
      .map((name) => [name, 0] as const),
  ]
}

function explainWider(name: string, found: unknown, wanted: Value): readonly string[] {
  if (Array.isArray(wanted)) {
    const more = readTexts(found).filter((one) => !wanted.includes(one))
    if (more.length > 0) return [`${name} also has ${more.join(', ')}`]
    const unbound = name.startsWith('bound_') && readTexts(found).length === 0
    return unbound ? [`${name} is empty, so any will do`] : []
  }
  if (name === 'bound_subject' && (found ?? '') === '')
    return ['bound_subject is empty, so any service account will do']
  if (name === 'audience' && (found ?? '') === '') return ['audience is empty, so any will do']
  const grew =
    typeof wanted === 'number' && Number(found ?? 0) > wanted && name !== 'token_num_uses'
  return grew ? [`${name} is ${String(found)} s`] : []
}

function isSame(found: unknown, wanted: Value): boolean {
  if (typeof wanted !== 'object') return (found ?? emptyOf(wanted)) === wanted
  const texts = readTexts(found)
  return texts.length === wanted.length && wanted.every((one) => texts.includes(one))
}

function emptyOf(value: string | number | boolean): Value {
  if (typeof value === 'string') return ''
  return typeof value === 'number' ? 0 : false
}

function show(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'none'
  if (Array.isArray(value)) return readTexts(value).join(', ') || 'none'
  return JSON.stringify(value)
}
