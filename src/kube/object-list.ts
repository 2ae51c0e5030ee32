import * as v from 'valibot'

import type { KubeClient } from './client.ts'
import { check, type ServedResource } from './discovery.ts'
import { explainAnswer, statusOf } from './fault.ts'

/** The identity and version of an object, without its content. */
export interface ObjectState {
  readonly name: string
  /** Empty for cluster-scoped objects. */
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
}

export interface ObjectPage {
  readonly objects: readonly ObjectState[]
  /** The token of the next page; undefined after the last. */
  readonly next?: string | undefined
  /** How many objects follow this page, if the server reports it. */
  readonly remaining?: number | undefined
}

/** The server then returns the metadata only, so that no value of a Secret reaches this program. */
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
export const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'
const PAGE_OBJECTS = 500

const Meta = v.object({
  name: v.string(),
  namespace: v.optional(v.string(), ''),
  uid: v.string(),
  resourceVersion: v.string(),
})
const Single = v.object({ metadata: Meta })
const List = v.object({
  metadata: v.object({
    continue: v.optional(v.string(), ''),
    remainingItemCount: v.optional(v.number()),
  }),
  items: v.nullish(v.array(Single), []),
})

/** The API path of a resource, in one namespace or in all. */
function listPath({ resource, version, isNamespaced }: ServedResource, namespace?: string): string {
  const { group, name } = resource
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  const isInOne = isNamespaced && namespace !== undefined
  return `${root}${isInOne ? `/namespaces/${encodeURIComponent(namespace)}` : ''}/${name}`
}

/** The API path of an object. */
export function pathOf(
  served: ServedResource,
  { name, namespace }: { name: string; namespace: string },
): string {
  return `${listPath(served, namespace)}/${encodeURIComponent(name)}`
}

/**
 * Lists one page of a resource in all namespaces. `from` is the `next` of the previous page. If it has expired, the list
 * continues from the same name at the current revision with the token in the 410 response (k8s.io/apimachinery:
 * pkg/apis/meta/v1, ListMeta.Continue).
 */
export async function listPage(
  client: KubeClient,
  served: ServedResource,
  from: string | undefined,
  signal: AbortSignal,
  limit = PAGE_OBJECTS,
): Promise<ObjectPage> {
  const path = listPath(served)
  const ask = (token: string | undefined) =>
    client.send({
      method: 'GET',
      path,
      accept: METADATA_LIST,
      query: { limit: String(limit), ...(token === undefined ? {} : { continue: token }) },
      signal,
    })
  let answer = await ask(from)
  const { metadata } = statusOf(answer.body)
  if (answer.status === 410 && from !== undefined) answer = await ask(metadata?.continue)
  // The server rejects the token itself, so the list starts again.
  if (answer.status === 400 && from !== undefined) answer = await ask(undefined)
  if (answer.status >= 400)
    throw explainAnswer(client.server, `GET ${path}`, answer.status, answer.body)
  const { metadata: meta, items } = check(List, answer.body, client)
  return {
    objects: (items ?? []).map((item) => item.metadata),
    next: meta.continue === '' ? undefined : meta.continue,
    remaining: meta.remainingItemCount,
  }
}

/**
 * The current state of an object; undefined if it does not exist. It is a list of one object, so that no right is needed besides
 * `list` and `patch`. Throws KUBE_*.
 */
export async function readState(
  client: KubeClient,
  served: ServedResource,
  { name, namespace }: ObjectState,
  signal: AbortSignal,
): Promise<ObjectState | undefined> {
  const path = listPath(served, namespace)
  const query = { fieldSelector: `metadata.name=${escapeSelector(name)}` }
  const body = await client.read({ method: 'GET', path, accept: METADATA_LIST, query, signal })
  return check(List, body, client).items?.[0]?.metadata
}

/** As EscapeValue in k8s.io/apimachinery, pkg/fields/selector.go. */
function escapeSelector(value: string): string {
  return value.replaceAll(/[\\,=]/g, String.raw`\$&`)
}

/** The state in the response to a write. */
export function stateOf(client: KubeClient, body: unknown): ObjectState {
  return check(Single, body, client).metadata
}
