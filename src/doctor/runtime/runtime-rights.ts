import type { CsiOperation, CsiRule } from '../../config/config.ts'
import { fail, ok, unknown, warn, type Finding } from '../finding.ts'

const FIX = 'compare with vault-policies/socket.hcl'
/** Stands for the part of a name that a pattern leaves open. */
const ANY_NAME = 'transit-bridge-doctor'

/** What an operation with one key needs: at least one of the paths. */
interface Use {
  readonly paths: readonly string[]
  readonly capability: 'update' | 'read'
  /** Whether the rule names the key, rather than a pattern. */
  readonly isNamed: boolean
}

/** The paths of a rule that are compared with the rights of a role. */
export interface RuleRights {
  readonly uses: readonly Use[]
  /** What no pod needs: the settings and the secrets of the keys. */
  readonly forbidden: readonly string[]
}

type Held = ReadonlyMap<string, readonly string[]>

/** The paths of an operation after the mount (csi/runtime/operations.ts). KEY stands for the key. */
const PATHS: Readonly<Record<CsiOperation, readonly string[]>> = {
  encrypt: ['encrypt/KEY'],
  decrypt: ['decrypt/KEY'],
  rewrap: ['rewrap/KEY'],
  sign: ['sign/KEY', 'sign/KEY/sha2-256'],
  verify: ['verify/KEY', 'verify/KEY/sha2-256'],
  hmac: ['hmac/KEY', 'hmac/KEY/sha2-256'],
  dataKey: ['datakey/plaintext/KEY', 'datakey/wrapped/KEY'],
  random: ['random', 'random/32'],
  hash: ['hash', 'hash/sha2-256'],
  keyInfo: ['keys/KEY'],
}

const FORBIDDEN = [
  'keys/KEY/config',
  'keys/KEY/rotate',
  'export/encryption-key/KEY',
  'export/signing-key/KEY',
  'backup/KEY',
]

export function rightsOfRule({ operations = [], keys }: CsiRule, mount: string): RuleRights {
  const names = keys.map((pattern) => pattern.replaceAll('*', ANY_NAME))
  const fill = (form: string, key: string) => `${mount}/${form.replace('KEY', key)}`
  return {
    uses: operations.flatMap((operation) => {
      const forms = PATHS[operation]
      const hasKey = forms.some((form) => form.includes('KEY'))
      return (hasKey ? names : ['']).map((key) => ({
        paths: forms.map((form) => fill(form, key)),
        capability: operation === 'keyInfo' ? ('read' as const) : ('update' as const),
        isNamed: !key.includes(ANY_NAME),
      }))
    }),
    forbidden: names.flatMap((key) => FORBIDDEN.map((form) => fill(form, key))),
  }
}

export function pathsOf({ uses, forbidden }: RuleRights): readonly string[] {
  return [...new Set([...uses.flatMap(({ paths }) => paths), ...forbidden])]
}

/** Compares what a role may do with what a rule allows. */
export function judgeRights(who: string, rights: RuleRights, held: Held): readonly Finding[] {
  const beyond = listBeyond(rights, held)
  return [
    ...judgeUses(who, rights.uses, held),
    beyond.length === 0
      ? ok('runtime policy limits', `${who} allows none of the other paths that were checked`)
      : fail('runtime policy limits', `${who} allows too much: ${beyond.join(', ')}`, FIX),
  ]
}

function judgeUses(who: string, uses: readonly Use[], held: Held): readonly Finding[] {
  const what = 'runtime policy'
  const incomplete = uses
    .map((use) => ({ ...use, lacking: use.paths.filter((path) => lacks(use, path, held)) }))
    .filter(({ lacking }) => lacking.length > 0)
  if (incomplete.length === 0) return [ok(what, `${who} allows what the rule allows`)]
  const named = incomplete.filter(({ isNamed }) => isNamed)
  const missing = named.filter(({ paths, lacking }) => lacking.length === paths.length)
  const partly = named.filter(({ paths, lacking }) => lacking.length < paths.length)
  const guessed = incomplete.filter(({ isNamed }) => !isNamed)
  const list = (some: typeof incomplete) =>
    some
      .flatMap(({ lacking, capability }) => lacking.map((path) => `${capability} on ${path}`))
      .join(', ')
  return [
    ...(missing.length === 0 ? [] : [fail(what, `${who} lacks ${list(missing)}`, FIX)]),
    ...(partly.length === 0
      ? []
      : [warn(what, `${who} lacks paths that some clients use: ${list(partly)}`, FIX)]),
    ...(guessed.length === 0
      ? []
      : [
          unknown(
            what,
            `the rule allows keys by a pattern, and ${who} lacks ${list(guessed)}, so which keys it allows is not known`,
            'name the keys in the rule, or compare the pattern with the policy',
          ),
        ]),
  ]
}

function lacks({ capability }: Use, path: string, held: Held): boolean {
  const found = held.get(path) ?? []
  return !found.includes(capability) && !found.includes('root')
}

function listBeyond({ uses, forbidden }: RuleRights, held: Held): readonly string[] {
  const describe = (path: string, wanted: readonly string[]) => {
    const more = (held.get(path) ?? []).filter((one) => one !== 'deny' && !wanted.includes(one))
    return more.length === 0 ? [] : [`${more.join(' and ')} on ${path}`]
  }
  return [
    ...uses.flatMap(({ paths, capability }) =>
      paths.flatMap((path) => describe(path, [capability])),
    ),
    ...forbidden.flatMap((path) => describe(path, [])),
  ]
}
