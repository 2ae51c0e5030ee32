import type { Value, Values } from '../operator/right.ts'
import { isUnset, readTexts, type Settings } from '../operator/vault-settings.ts'

/** Longest token lifetime that a plugin may need. */
const MAX_LIFETIME_SECONDS = 24 * 3600
const MAX_LEEWAY_SECONDS = 300

/**
 * Fields that admit identities in addition to the other bounds, or that give a token the policies of groups
 * (vault-plugin-auth-kubernetes, path_role.go; vault-plugin-auth-jwt, path_role.go).
 */
const WIDENING = ['bound_service_account_namespace_selector', 'groups_claim']
const LEEWAYS = ['expiration_leeway', 'not_before_leeway', 'clock_skew_leeway']
/** Fields that stay as they are: they make a role narrower, concern browser logins, or describe a login. */
const KEPT: ReadonlySet<string> = new Set([
  'bound_claims',
  'bound_claims_type',
  'bound_cidrs',
  'token_bound_cidrs',
  'token_explicit_max_ttl',
  'token_max_ttl',
  'token_no_default_policy',
  'token_strictly_bind_ip',
  'token_type',
  'token_ttl',
  'token_period',
  'alias_name_source',
  'alias_metadata',
  'user_claim_json_pointer',
  'claim_mappings',
  'verbose_oidc_logging',
  ...LEEWAYS,
  'allowed_redirect_uris',
  'callback_mode',
  'max_age',
  'oauth2_metadata',
  'oidc_scopes',
  'oidc_disable_confirmation',
  'token_policies_template_claims',
  // The names of Vault before 1.2 for token_policies and its companions, which setup writes or bounds.
  'policies',
  'ttl',
  'max_ttl',
  'period',
  'num_uses',
])

/** How a role differs from what it must be. */
export interface RoleDifference {
  /** The fields to write. */
  readonly body: Values
  readonly details: readonly string[]
  readonly wider: readonly string[]
  /** Fields with a value that setup does not know; they may make the role wider. */
  readonly unknown: readonly string[]
}

/**
 * Compares a role with what it must be. Known fields that only make it narrower, such as token_bound_cidrs, stay; a
 * known field that makes it wider is corrected; an unknown field that has a value is reported.
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
    unknown: findUnknown(found, wanted),
  }
}

function findUnknown(found: Settings, wanted: Values): readonly string[] {
  return Object.entries(found)
    .filter(([name]) => !(name in wanted) && !KEPT.has(name) && !WIDENING.includes(name))
    .filter(([, value]) => !isUnset(value))
    .map(([name]) => name)
}

function findLooseLimits(found: Settings): readonly (readonly [string, Value])[] {
  const lifetime = Number(found['token_ttl'] ?? 0)
  const period = Number(found['token_period'] ?? 0)
  return [
    ...WIDENING.filter((name) => show(found[name]) !== 'none').map((name) => [name, ''] as const),
    ...(lifetime > MAX_LIFETIME_SECONDS ? [['token_ttl', 3600] as const] : []),
    ...(period > MAX_LIFETIME_SECONDS ? [['token_period', 0] as const] : []),
    ...LEEWAYS.filter((name) => Number(found[name] ?? 0) > MAX_LEEWAY_SECONDS).map(
      (name) => [name, 0] as const,
    ),
  ]
}

function explainWider(name: string, found: unknown, wanted: Value): readonly string[] {
  if (Array.isArray(wanted)) {
    const more = readTexts(found).filter((one) => !wanted.includes(one))
    if (more.length > 0) return [`${name} also has ${more.join(', ')}`]
    const unbound = name.startsWith('bound_') && readTexts(found).length === 0
    return unbound ? [`${name} is empty, so it allows any`] : []
  }
  if (WIDENING.includes(name)) return [`${name} is ${show(found)}`]
  if (name === 'bound_subject' && (found ?? '') === '')
    return ['bound_subject is empty, so it allows any service account']
  if (name === 'audience' && (found ?? '') === '')
    return ['audience is empty, so it allows any audience']
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
