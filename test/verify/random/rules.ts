import { stringify } from 'yaml'
import { NAMEABLE, NOWHERE, OTHERS, type Layout } from './layouts.ts'
import { LOCAL_KEYS } from './stored-objects.ts'
import type { Random } from './random.ts'

/** `plaintext`, or a provider as the report names it. */
type Reader = string

export type RandomRule = {
  readonly patterns: readonly string[]
  /** In order; the first one writes. `plaintext` is identity. */
  readonly readers: readonly Reader[]
  /** As the file has them. */
  readonly providers: readonly unknown[]
}

const KMS_NAMES: readonly (readonly [api: 'v1' | 'v2', name: string])[] = [
  ['v2', 'transit-bridge'],
  ['v2', 'former'],
  ['v2', 'cloud'],
  ['v2', 'vault'],
  ['v1', 'transit-bridge'],
  ['v1', 'odd:name'],
  ['v1', 'cloud'],
]

const SECRET = Buffer.alloc(32, 1).toString('base64')

type Provider = { readonly readers: readonly Reader[]; readonly value: unknown }

function listProviders(random: Random): readonly Provider[] {
  const kms = KMS_NAMES.map(([api, name]) => ({
    readers: [`kms ${api} ${name}`],
    value: {
      kms: {
        // v1 is the default.
        ...(api === 'v1' && random.chance(0.5) ? {} : { apiVersion: api }),
        name,
        endpoint: `unix:///run/${name.replace(':', '-')}.sock`,
      },
    },
  }))
  const schemes = [...new Set(LOCAL_KEYS.map(([scheme]) => scheme))]
  const local = schemes.map((scheme) => {
    const names = random.shuffle(
      LOCAL_KEYS.filter((key) => key[0] === scheme).map(([, name]) => name),
    )
    const used = names.slice(0, 1 + random.below(names.length))
    const keys = used.map((name) => ({ name, secret: SECRET }))
    return { readers: used.map((name) => `${scheme} ${name}`), value: { [scheme]: { keys } } }
  })
  return [...kms, ...local]
}

const IDENTITY: Provider = { readers: ['plaintext'], value: { identity: {} } }

/**
 * The rules of a valid EncryptionConfiguration: nothing twice, and wildcards after what they cover. If `complete`, every
 * resource has a rule with all providers.
 */
export function makeRules(random: Random, complete: boolean): readonly RandomRule[] {
  const names = random
    .shuffle([
      ...random.some([...NAMEABLE, ...OTHERS.filter(({ never }) => !never)], 0.3),
      ...random.some(NOWHERE, complete ? 0 : 0.1),
    ])
    .map(({ resource }) => resource)
  const middle = random.below(names.length + 1)
  const wildcards = random.some(['*.', '*.apps', '*.example.com', '*.*'], 0.2)
  if (complete && !wildcards.includes('*.*')) wildcards.push('*.*')
  const groups = [names.slice(0, middle), names.slice(middle), ...wildcards.map((one) => [one])]
  const rules = groups
    .filter(({ length }) => length > 0)
    .map((patterns) => makeRule(random, patterns, complete))
  return rules.length === 0 ? [makeRule(random, ['secrets'], complete)] : rules
}

function makeRule(random: Random, patterns: readonly string[], complete: boolean): RandomRule {
  const chosen = random.shuffle(random.some(listProviders(random), complete ? 1 : 0.5))
  const identity = random.pick(['last', 'last', 'first', 'none'] as const)
  const all = [
    ...(identity === 'first' || chosen.length === 0 ? [IDENTITY] : []),
    ...chosen,
    ...(identity === 'last' ? [IDENTITY] : []),
  ]
  return {
    patterns,
    readers: all.flatMap(({ readers }) => readers),
    providers: all.map(({ value }) => value),
  }
}

export function renderRules(rules: readonly RandomRule[]): string {
  return stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: rules.map(({ patterns, providers }) => ({ resources: patterns, providers })),
  })
}

/** The first rule that covers a resource. */
export function ruleOf(
  rules: readonly RandomRule[],
  { resource, group, never }: Layout,
): RandomRule | undefined {
  if (never) return undefined
  const covering = new Set([resource, `*.${group}`, '*.*'])
  return rules.find(({ patterns }) => patterns.some((pattern) => covering.has(pattern)))
}
