import type { BridgeError } from '../errors.ts'
import type { KubeClient } from '../kube/client.ts'
import type { ServedResource } from '../kube/discovery.ts'
import { explainAnswer, isPassing } from '../kube/fault.ts'
import { METADATA, pathOf, readState, stateOf, type ObjectState } from '../kube/object-list.ts'

/** What became of an object. */
export type Rewriting =
  /** It was stale, and is written anew. */
  | { readonly kind: 'rewritten' }
  /** The API server found nothing to do: it was written under the current key already. */
  | { readonly kind: 'current' }
  /** It was deleted meanwhile. */
  | { readonly kind: 'gone' }
  /** Others wrote it each time it was tried, and each of their writes made it new. */
  | { readonly kind: 'written-by-others' }
  /** The server does not take even a change of nothing: an admission rule, a validation that came later. */
  | { readonly kind: 'refused'; readonly why: string }

/** An object that is changed so often is new by any of those changes. */
const TRIES = 5

/**
 * Makes the API server write an object anew without changing it. The patch names uid and resourceVersion alone: if anybody
 * changed the object since it was seen, the server answers 409 and nothing is written, so nobody's change can be lost;
 * and if the object is not stale, the server writes nothing (kubernetes: storage/etcd3/store.go, GuaranteedUpdate).
 * Throws KUBE_* for what may pass, and for a lack of rights.
 */
export async function rewriteObject(
  client: KubeClient,
  served: ServedResource,
  object: ObjectState,
  signal: AbortSignal,
): Promise<Rewriting> {
  const path = pathOf(served, object)
  let seen = object
  for (let count = 0; count < TRIES; count += 1) {
    const { status, body } = await client.send({
      method: 'PATCH',
      path,
      accept: METADATA,
      body: { metadata: { uid: seen.uid, resourceVersion: seen.resourceVersion } },
      signal,
    })
    if (status < 300) {
      const isNew = stateOf(client, body).resourceVersion !== seen.resourceVersion
      return { kind: isNew ? 'rewritten' : 'current' }
    }
    if (status === 404) return { kind: 'gone' }
    if (status !== 409)
      return refuse(explainAnswer(client.server, `PATCH ${path}`, status, body), status)
    const now = await readState(client, path, signal)
    // Another object of this name was made after the first was seen, so by a write under the current key.
    if (now === undefined || now.uid !== object.uid) return { kind: 'gone' }
    seen = now
  }
  return { kind: 'written-by-others' }
}

/** 401 and what may pass concern every object; the rest is about this one. */
function refuse(error: BridgeError, status: number): Rewriting {
  if (status === 401 || isPassing(error)) throw error
  return { kind: 'refused', why: error.message }
}
