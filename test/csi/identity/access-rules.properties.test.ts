import { deepStrictEqual, equal } from 'node:assert/strict'
import fc from 'fast-check'

import type { CsiOperation, CsiRule } from '../../../src/config/config.ts'
import type { ClassObject } from '../../../src/csi/class/object-types.ts'
import { keysOf } from '../../../src/csi/class/object-types.ts'
import { placeOf, type EnginePlace, type WantedPlace } from '../../../src/csi/engine-place.ts'
import { AccessRules } from '../../../src/csi/identity/access-rules.ts'
import { NamePatterns } from '../../../src/csi/identity/name-pattern.ts'
import { holds } from '../../property.ts'

const close = (maxLength: number, ...letters: string[]) =>
  fc.string({ unit: fc.constantFrom(...letters), maxLength })

/** The meaning of a pattern in two lines: slow, and obviously right. */
function fits(pattern: string, name: string): boolean {
  if (pattern === '') return name === ''
  const [first] = pattern
  if (first !== '*') return name.startsWith(first ?? '') && fits(pattern.slice(1), name.slice(1))
  return fits(pattern.slice(1), name) || (name !== '' && fits(pattern, name.slice(1)))
}

holds(
  'a pattern matches the names that its plain definition matches',
  [fc.array(close(6, '*', 'a', 'b', '.'), { maxLength: 3 }), close(7, 'a', 'b', '.', '*')],
  (patterns, name) => {
    const expected = patterns.some((pattern) => fits(pattern, name))
    equal(new NamePatterns(patterns).matches(name), expected)
    equal(new NamePatterns(patterns.toReversed()).matches(name), expected)
  },
  3_000,
)

const TYPES = ['publicKey', 'jwks', 'decrypt', 'keyInfo'] as const
const OPERATIONS: readonly CsiOperation[] = ['sign', 'encrypt', 'decrypt']
const HOME: EnginePlace = { vaultNamespace: '', mount: 'transit' }
const GUARDED = 'etcd'

const someOf = <T>(...values: T[]) => fc.subarray(values, { minLength: 0 })
const listOf = (...values: string[]) => fc.subarray(values, { minLength: 1 })
const place = fc.constantFrom<WantedPlace>(
  {},
  { mount: 'transit' },
  { mount: 'second' },
  { vaultNamespace: 'a' },
  { vaultNamespace: 'a', mount: 'second' },
)
const rule: fc.Arbitrary<CsiRule> = fc
  .record({
    namespaces: listOf('shop', 'sh*', '*', 'other'),
    serviceAccounts: listOf('web', '*', 'job'),
    roles: listOf('web', 'w*', 'admin'),
    keys: listOf('app', 'app-*', '*', 'etcd', 'e*'),
    types: someOf(...TYPES),
    operations: someOf(...OPERATIONS),
    where: place,
  })
  .map(({ where, ...rest }) => ({ ...rest, ...where }))
const key = fc.constantFrom('app', 'app-1', 'etcd', 'b')
const object = fc
  .record({
    type: fc.constantFrom(...TYPES),
    key,
    keys: fc.uniqueArray(key, { minLength: 1 }),
    where: place,
  })
  .map(
    ({ type, key: one, keys, where }) =>
      ({
        index: 0,
        path: 'p',
        type,
        ...(type === 'jwks' ? { keys } : { key: one }),
        ...where,
      }) as unknown as ClassObject,
  )
const subject = fc.record({
  namespace: fc.constantFrom('shop', 'other', 'x'),
  serviceAccount: fc.constantFrom('web', 'job', 'y'),
})
const role = fc.constantFrom('web', 'admin', 'none')
type Subject = typeof subject extends fc.Arbitrary<infer Value> ? Value : never

const idOf = ({ vaultNamespace = '', mount = 'transit' }: WantedPlace) =>
  `${vaultNamespace}|${mount}`
const any = (patterns: readonly string[], name: string) => patterns.some((each) => fits(each, name))

/** Whether one rule on its own allows a use: the meaning of csi.rules in docs/configuration.md. */
function allows(
  { namespace, serviceAccount }: Subject,
  wantedRole: string,
  given: CsiRule,
  where: WantedPlace,
  name: string | undefined,
): boolean {
  // The same mount path in another namespace is guarded, too: a Vault without namespaces ignores them.
  const isGuarded = name === GUARDED && (where.mount ?? 'transit') === HOME.mount
  return (
    any(given.namespaces, namespace) &&
    any(given.serviceAccounts, serviceAccount) &&
    any(given.roles, wantedRole) &&
    idOf(given) === idOf(where) &&
    (name === undefined || (isGuarded ? given.keys.includes(name) : any(given.keys, name)))
  )
}

holds(
  'an object is denied exactly if no single rule allows its place, its type and each of its keys',
  [
    fc.array(rule, { maxLength: 4 }),
    subject,
    role,
    fc.array(object, { minLength: 1, maxLength: 3 }),
  ],
  (rules, who, wantedRole, objects) => {
    const access = new AccessRules({ rules, home: HOME, guarded: { key: GUARDED, place: HOME } })
    const denials = access.findDenials(who, { role: wantedRole, objects, digest: '' })
    const isAllowed = objects.every((each) =>
      keysOf(each).every((name) =>
        rules.some(
          (given) =>
            allows(who, wantedRole, given, each, name) && given.types.includes(each.type as never),
        ),
      ),
    )
    equal(denials.length === 0, isAllowed, denials.join(' | '))
  },
  1_500,
)

holds(
  'an operation at run time is allowed exactly if a single rule allows its place, its key and the operation',
  [
    fc.array(rule, { maxLength: 4 }),
    subject,
    role,
    place,
    fc.option(key, { nil: undefined }),
    fc.constantFrom(...OPERATIONS),
  ],
  (rules, who, wantedRole, where, name, operation) => {
    const access = new AccessRules({ rules, home: HOME, guarded: { key: GUARDED, place: HOME } })
    const runtime = access.runtimeAccess(who, wantedRole)
    const wanted = { place: placeOf(where, HOME), key: name, operation }
    const expected = rules.some(
      (given) =>
        allows(who, wantedRole, given, where, name) &&
        given.operations?.includes(operation) === true,
    )
    equal(runtime.allows(wanted), expected)
    const engines = rules.filter(
      (given) => given.operations?.length !== 0 && allows(who, wantedRole, given, given, undefined),
    )
    deepStrictEqual(runtime.engines.map(idOf).toSorted(), engines.map(idOf).toSorted())
  },
  1_500,
)
