import { DEFINITIONS, NAMESPACES, NOWHERE, OTHERS, NAMEABLE, type Layout } from './layouts.ts'
import type { RandomStore } from './random-store.ts'
import { ruleOf } from './rules.ts'
import type { RandomObject } from './stored-objects.ts'

/** What `verify` must report, derived from how the store was made and not from its bytes. */
export type Truth = {
  readonly ok: boolean
  readonly objects: number
  readonly seeds: number
  readonly plain: number
  readonly unreadable: number
  readonly unproven: number
  readonly withoutProvider: number
  /** What each gap is about: a resource, `cluster`, `nothing read` or `nothing encrypted`. */
  readonly gaps: readonly string[]
  readonly resources: Readonly<Record<string, ResourceTruth>>
  readonly keyVersionsNeeded: Readonly<Record<string, readonly number[]>>
}

export type ResourceTruth = {
  readonly toBeEncrypted: boolean
  readonly objects: number
  readonly plain: number
  readonly unreadable: number
  readonly unproven: number
  readonly otherProvider?: number
  /** By provider, key id and version: objects and DEK sources. */
  readonly groups: Readonly<Record<string, readonly [objects: number, sources: number]>>
  readonly plainKeys: readonly string[]
  readonly unreadableKeys: readonly string[]
  readonly unprovenKeys: readonly string[]
}

/** Undefined if nothing under the prefix says that it is right. */
export function truthOf(store: RandomStore): Truth | undefined {
  const { resources: chosen, rules, objects: all } = store
  if (all.length === 0) return undefined
  const read = all.filter(({ layout }) => chosen?.includes(layout) ?? true)
  const layouts = new Map<string, Layout>(read.map(({ layout }) => [layout.resource, layout]))
  const named = findNamed(store)
  const secrets = NAMEABLE.filter(({ resource }) => resource === 'secrets')
  for (const each of named.length > 0 ? named : secrets) layouts.set(each.resource, each)

  const resources = sortedRecord(
    [...layouts.values()].map((layout) => [
      layout.resource,
      resourceTruth(
        store,
        layout,
        read.filter((object) => object.layout === layout),
      ),
    ]),
  )
  const judged = Object.values(resources)
  const sum = (of: (each: ResourceTruth) => number) =>
    judged.reduce((total, each) => total + of(each), 0)
  const counts = {
    plain: sum((each) => (each.toBeEncrypted ? each.plain : 0)),
    unreadable: sum((each) => each.unreadable),
    unproven: sum((each) => each.unproven),
    withoutProvider:
      rules === undefined ? 0 : read.filter((object) => !canRead(store, object)).length,
  }
  const isHollow =
    store.depth !== 'envelopes' && read.length > 0 && read.every(({ kind }) => kind === 'plain')
  const gaps = [
    ...findMissing(store, read, named),
    ...findUnmatched(store, read),
    ...(read.length === 0 ? ['nothing read'] : []),
    ...(isHollow ? ['nothing encrypted'] : []),
  ].toSorted()
  return {
    ok: gaps.length === 0 && Object.values(counts).every((count) => count === 0),
    objects: read.length,
    seeds: new Set(
      read
        .flatMap(({ kind, source }) => (kind === 'encrypted' ? [source] : []))
        .filter((source) => source !== undefined),
    ).size,
    ...counts,
    gaps,
    resources,
    keyVersionsNeeded: versionsOf(read),
  }
}

function resourceTruth(
  store: RandomStore,
  layout: Layout,
  objects: readonly RandomObject[],
): ResourceTruth {
  const { rules, resources, allowed, depth } = store
  const rule = rules === undefined ? undefined : ruleOf(rules, layout)
  const [first] = rule?.readers ?? []
  const writer = first === 'plaintext' ? undefined : first
  const keysOf = (list: readonly RandomObject[]) => list.map(({ key }) => key).toSorted()
  const plain = objects.filter(({ kind }) => kind === 'plain')
  const finding = (problem: string) => objects.filter(({ problems }) => problems[depth] === problem)
  const isExempt = layout.never || allowed.includes(layout)
  const isDemanded =
    resources !== undefined ||
    (rules === undefined
      ? layout.resource === 'secrets' || plain.length < objects.length
      : writer !== undefined)
  const toBeEncrypted = !isExempt && isDemanded
  return {
    toBeEncrypted,
    objects: objects.length,
    plain: plain.length,
    unreadable: finding('unreadable').length,
    unproven: finding('unproven').length,
    ...(writer === undefined
      ? {}
      : {
          otherProvider: objects.filter(
            ({ kind, provider }) => kind !== 'plain' && provider !== writer,
          ).length,
        }),
    groups: groupsOf(objects),
    plainKeys: toBeEncrypted ? keysOf(plain) : [],
    unreadableKeys: keysOf(finding('unreadable')),
    unprovenKeys: keysOf(finding('unproven')),
  }
}

/** For a comparison by line; `strictSame` of tap does not compare an entry that is named `__proto__`. */
export function formatTruth(truth: Truth | undefined): string {
  return truth === undefined ? 'nothing under the prefix' : JSON.stringify(truth, null, 2)
}

/** In the order of names, so that a difference is easy to read. */
export function sortedRecord<T>(
  entries: readonly (readonly [string, T])[],
): Readonly<Record<string, T>> {
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)))
}

export function groupName(provider: string, keyId = '', version?: number): string {
  return `${provider}|${keyId}|${String(version ?? '-')}`
}

function groupsOf(objects: readonly RandomObject[]): ResourceTruth['groups'] {
  const found = new Map<string, RandomObject[]>()
  for (const object of objects) {
    const { provider, source } = object
    const name = groupName(provider, source?.keyId, source?.version)
    found.set(name, [...(found.get(name) ?? []), object])
  }
  return sortedRecord(
    [...found].map(([name, list]) => {
      const sources = new Set(list.flatMap(({ source }) => source ?? []))
      return [name, [list.length, sources.size]]
    }),
  )
}

/** Damaged objects are unreadable already. */
function canRead({ rules = [] }: RandomStore, { kind, provider, layout }: RandomObject): boolean {
  if (kind === 'damaged') return true
  const rule = ruleOf(rules, layout)
  if (rule === undefined) return kind === 'plain'
  return rule.readers.includes(kind === 'plain' ? 'plaintext' : provider)
}

/** Resources that were named one by one to be encrypted. */
function findNamed({ resources, rules = [], allowed }: RandomStore): readonly Layout[] {
  const patterns = rules
    .filter(({ readers }) => readers[0] !== 'plaintext')
    .flatMap((rule) => rule.patterns)
  const everything = [...NAMEABLE, ...OTHERS, ...NOWHERE]
  const named = resources ?? everything.filter(({ resource }) => patterns.includes(resource))
  return named.filter((layout) => !allowed.includes(layout))
}

function findMissing(
  { objects, prefix }: RandomStore,
  read: readonly RandomObject[],
  named: readonly Layout[],
): readonly string[] {
  const has = (layout: Layout, name: string) =>
    objects.some(({ key }) => key === `${prefix}${layout.path(name)}`)
  const nowhere = named
    .filter((layout) => !layout.builtIn && !read.some((object) => object.layout === layout))
    .filter(({ resource }) => !has(DEFINITIONS, resource))
  return [
    ...(has(NAMESPACES, 'kube-system') ? [] : ['cluster']),
    ...nowhere.map(({ resource }) => resource),
  ]
}

/** Plaintext of which it is unknown whether a rule is meant for it. */
function findUnmatched(
  { rules, allowed }: RandomStore,
  read: readonly RandomObject[],
): readonly string[] {
  if (rules === undefined) return []
  const found = read
    .filter(({ kind, layout }) => kind === 'plain' && !layout.known && !allowed.includes(layout))
    .filter(({ layout }) => ruleOf(rules, layout) === undefined)
  return [...new Set(found.map(({ layout }) => `path ${layout.resource}`))]
}

function versionsOf(read: readonly RandomObject[]): Truth['keyVersionsNeeded'] {
  const found = new Map<string, Set<number>>()
  for (const { provider, source } of read) {
    if (source?.version === undefined) continue
    found.set(provider, (found.get(provider) ?? new Set()).add(source.version))
  }
  return sortedRecord(
    [...found].map(([provider, versions]) => [
      provider,
      [...versions].toSorted((one, other) => other - one),
    ]),
  )
}
