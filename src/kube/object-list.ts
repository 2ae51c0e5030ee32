import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import type { KubeClient } from './client.ts'
import { check, type ServedResource } from './discovery.ts'
import { explainAnswer, statusOf } from './fault.ts'

/** An object by its name, in the state that was seen; none of its content. */
export interface ObjectState {
  readonly name: string
  /** Empty for what is in no namespace. */
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
}

export interface ObjectPage {
  readonly objects: readonly ObjectState[]
  /** Where the next page begins; undefined after the last. */
  readonly next?: string
  /** How many objects are behind this page, where the server says so. */
  readonly remaining?: number
}

/** The server leaves everything but the metadata away, so that no value of a Secret reaches this program. */
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
export const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'
const PAGE = 500

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

/** Where a resource, or one object of it, is served. */
export function pathOf(
  served: ServedResource,
  object?: { name: string; namespace: string },
): string {
  const { resource, version, isNamespaced } = served
  const { group, name } = resource
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  if (object === undefined) return `${root}/${name}`
  const place = isNamespaced ? `/namespaces/${encodeURIComponent(object.namespace)}` : ''
  return `${root}${place}/${name}/${encodeURIComponent(object.name)}`
}

/**
 * One page of a resource, over all namespaces. `from` is the `next` of the page before. One that is too old for the server
 * (it keeps some minutes of the past) goes on in the present from the same name (KEP-2340, "inconsistent continue").
 */
export async function listPage(
  client: KubeClient,
  served: ServedResource,
  from: string | undefined,
  signal: AbortSignal,
  limit = PAGE,
): Promise<ObjectPage> {
  const path = pathOf(served)
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
  // A token that this server does not take at all: the resource is read from its beginning.
  if (answer.status === 400 && from !== undefined) answer = await ask(undefined)
  if (answer.status >= 400)
    throw explainAnswer(client.server, `GET ${path}`, answer.status, answer.body)
  const { metadata: meta, items } = check(List, answer.body, client)
  return {
    objects: (items ?? []).map((item) => item.metadata),
    ...(meta.continue === '' ? {} : { next: meta.continue }),
    ...(meta.remainingItemCount === undefined ? {} : { remaining: meta.remainingItemCount }),
  }
}

/** The state of an object now; undefined if it is gone. */
export async function readState(
  client: KubeClient,
  path: string,
  signal: AbortSignal,
): Promise<ObjectState | undefined> {
  try {
    const body = await client.read({ method: 'GET', path, accept: METADATA, signal })
    return check(Single, body, client).metadata
  } catch (error) {
    if (BridgeError.from(error).code === 'KUBE_NOT_FOUND') return undefined
    throw error
  }
}

/** The state in the answer to a write. */
export function stateOf(client: KubeClient, body: unknown): ObjectState {
  return check(Single, body, client).metadata
}
