import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import type { KubeClient } from './client.ts'
import { formatResource, type Resource } from './resource.ts'

/** A resource that an API server serves. */
export interface ServedResource {
  readonly resource: Resource
  readonly version: string
  readonly isNamespaced: boolean
}

/** The requested resources that the API server serves, and the requested names that are skipped, with the reason. */
export interface Discovery {
  readonly served: readonly ServedResource[]
  readonly skipped: readonly { readonly name: string; readonly why: string }[]
}

const Groups = v.object({
  groups: v.array(
    v.object({
      name: v.string(),
      versions: v.array(v.object({ version: v.string() })),
    }),
  ),
})
const Resources = v.object({
  resources: v.array(
    v.object({ name: v.string(), namespaced: v.boolean(), verbs: v.array(v.string()) }),
  ),
})
const ApiServices = v.object({
  items: v.array(
    v.object({
      spec: v.object({ group: v.optional(v.string(), ''), service: v.nullish(v.unknown()) }),
    }),
  ),
})

/**
 * Finds the served resources that match names of an EncryptionConfiguration: `secrets`, `x.group`, `*.group`, `*.`, `*.*`.
 * Only resources with the verbs list and patch can be rewritten. Groups of an aggregated API server (APIService) are in
 * another store and are skipped.
 */
export async function discoverResources(
  client: KubeClient,
  patterns: readonly string[],
): Promise<Discovery> {
  const wanted = patterns.map(parsePattern)
  const groups = await listGroups(client)
  const isWanted = (group: string) =>
    wanted.some((each) => each.group === '*' || each.group === group)
  const foreign = await listForeignGroups(client)
  const served: ServedResource[] = []
  const seen = new Set<string>()
  for (const group of groups.filter(({ name }) => isWanted(name) && !foreign.has(name))) {
    for (const found of await listGroup(client, group)) {
      seen.add(formatResource(found.served.resource))
      if (found.isRewritable && wanted.some((each) => matches(each, found.served.resource)))
        served.push(found.served)
    }
  }
  const skipped = wanted
    .filter(({ name, group }) => name !== '*' || !['*', ''].includes(group))
    .filter((each) => !served.some(({ resource }) => matches(each, resource)))
    .map((each) => ({ name: formatResource(each), why: explain(each, seen, foreign) }))
  return { served, skipped }
}

/** Whether an API server stores a resource: it does not if another one does, to which it forwards requests. */
export type Serving = 'served' | 'aggregated' | 'absent'

/** The serving of each name or `*.group` of an EncryptionConfiguration. */
export async function findServing(
  client: KubeClient,
  names: readonly string[],
): Promise<ReadonlyMap<string, Serving>> {
  const groups = await listGroups(client)
  const foreign = await listForeignGroups(client)
  const found = new Map<string, Serving>()
  for (const name of names) {
    const pattern = parsePattern(name)
    const group = groups.find((each) => each.name === pattern.group)
    if (foreign.has(pattern.group)) found.set(name, 'aggregated')
    else if (group === undefined) found.set(name, 'absent')
    else {
      const resources = await listGroup(client, group)
      const isServed = resources.some(({ served }) => matches(pattern, served.resource))
      found.set(name, isServed ? 'served' : 'absent')
    }
  }
  return found
}

/** The versions of a group, the preferred one first; empty if the API server does not serve the group. */
export async function listVersions(client: KubeClient, name: string): Promise<readonly string[]> {
  const groups = await listGroups(client)
  return groups.find((group) => group.name === name)?.versions ?? []
}

function parsePattern(pattern: string): Resource {
  const [, name = pattern, group = ''] = /^([^.]+)\.(.*)$/.exec(pattern) ?? []
  return { name, group }
}

function matches(pattern: Resource, { name, group }: Resource): boolean {
  const isName = pattern.name === '*' || pattern.name === name
  return isName && (pattern.group === '*' || pattern.group === group)
}

function explain(
  pattern: Resource,
  seen: ReadonlySet<string>,
  foreign: ReadonlySet<string>,
): string {
  if (foreign.has(pattern.group)) return 'an aggregated API server serves it from its own store'
  if (seen.has(formatResource(pattern)))
    return 'the API server does not support both list and patch for it'
  return 'the API server does not serve it'
}

interface Group {
  readonly name: string
  /** The preferred one first. */
  readonly versions: readonly string[]
}

async function listGroups(client: KubeClient): Promise<readonly Group[]> {
  const { groups } = check(Groups, await client.get('/apis'), client)
  const others = groups.map(({ name, versions }) => ({
    name,
    versions: versions.map(({ version }) => version),
  }))
  return [{ name: '', versions: ['v1'] }, ...others]
}

/** Empty without the right to list APIServices: a PATCH of an aggregated resource then fails. */
async function listForeignGroups(client: KubeClient): Promise<ReadonlySet<string>> {
  try {
    const answer = await client.get('/apis/apiregistration.k8s.io/v1/apiservices')
    const { items } = check(ApiServices, answer, client)
    const foreign = items.filter(({ spec }) => (spec.service ?? null) !== null)
    return new Set(foreign.map(({ spec }) => spec.group))
  } catch (error) {
    const { code } = BridgeError.from(error)
    if (code === 'KUBE_DENIED' || code === 'KUBE_NOT_FOUND') return new Set()
    throw error
  }
}

interface Found {
  readonly served: ServedResource
  readonly isRewritable: boolean
}

/** Each resource once, in the first version that has it. */
async function listGroup(client: KubeClient, { name: group, versions }: Group): Promise<Found[]> {
  const found = new Map<string, Found>()
  for (const version of versions) {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const { resources } = check(Resources, await client.get(path), client)
    for (const { name, namespaced: isNamespaced, verbs } of resources) {
      if (name.includes('/') || found.has(name)) continue
      // The same objects as events of the core group.
      if (group === 'events.k8s.io' && name === 'events') continue
      const isRewritable = verbs.includes('list') && verbs.includes('patch')
      found.set(name, {
        served: { resource: { name, group }, version, isNamespaced },
        isRewritable,
      })
    }
  }
  return [...found.values()]
}

/** Parses a response body. Throws KUBE_FAILED if it does not fit the schema. */
export function check<Schema extends v.GenericSchema>(
  schema: Schema,
  body: unknown,
  client: KubeClient,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, body, { abortEarly: true })
  if (parsed.success) return parsed.output
  throw new BridgeError(
    'KUBE_FAILED',
    `${client.server} returns a response that no Kubernetes API server returns; check the address`,
  )
}
