import type { BridgeError } from '../errors.ts'
import type { KubeClient, KubeRequest } from '../kube/client.ts'
import type { ServedResource } from '../kube/discovery.ts'
import { explainAnswer, isTransient } from '../kube/fault.ts'
import {
  listPage,
  METADATA,
  pathOf,
  readState,
  stateOf,
  type ObjectState,
} from '../kube/object-list.ts'

/** The outcome for an object. */
export type Outcome =
  /** It was stale and has been rewritten. */
  | { readonly kind: 'rewritten' }
  /** The API server had nothing to do: the object was already encrypted with the write key. */
  | { readonly kind: 'current' }
  /** It was deleted meanwhile. */
  | { readonly kind: 'gone' }
  /** Another client changed it before each attempt, and each such change encrypts it with the write key. */
  | { readonly kind: 'written-by-others' }
  /** The server rejects even a no-op update: an admission rule, or a validation that is newer than the object. */
  | { readonly kind: 'refused'; readonly why: string }

/** What one attempt had as its result. */
export type Attempt =
  | Outcome
  /**
   * The server returned 500, and does so also if it would write nothing. Then the encryption and the write are not the reason:
   * usually it cannot call an admission webhook. It may also be unable to read the object.
   */
  | { readonly kind: 'failing'; readonly error: BridgeError }

/** How often a conflict is answered with another attempt. */
const TRIES = 5

/**
 * Makes the API server rewrite an object with a no-op update conditional on uid and resourceVersion. If the object has
 * changed since, the server returns 409 and writes nothing, so no change is lost. If the object is not stale, the server
 * writes nothing either (apiserver: pkg/storage/etcd3/store.go, GuaranteedUpdate). Throws KUBE_* for other transient errors
 * and for 401.
 */
export async function rewriteObject(
  client: KubeClient,
  served: ServedResource,
  object: ObjectState,
  signal: AbortSignal,
): Promise<Attempt> {
  const path = pathOf(served, object)
  let seen = object
  let conflict: BridgeError | undefined
  for (let count = 0; count < TRIES; count += 1) {
    const patch = makePatch(
      path,
      { metadata: { uid: seen.uid, resourceVersion: seen.resourceVersion } },
      signal,
    )
    const { status, body } = await client.send(patch)
    if (status < 300) {
      const isNew = stateOf(client, body).resourceVersion !== seen.resourceVersion
      return { kind: isNew ? 'rewritten' : 'current' }
    }
    if (status === 404) return requireServed(client, served, signal)
    const error = explainAnswer(client.server, `PATCH ${path}`, status, body)
    if (status === 500 && (await dryRun(client, patch)) === 500) return { kind: 'failing', error }
    if (status !== 409) return refuse(error, status)
    conflict = error
    const now = await readState(client, served, object, signal)
    // A different object with this name was created meanwhile, and so encrypted with the write key.
    if (now === undefined) return requireServed(client, served, signal)
    if (now.uid !== object.uid) return { kind: 'gone' }
    seen = now
  }
  // An admission webhook can also return 409, without a change by anyone.
  return conflict === undefined || seen.resourceVersion !== object.resourceVersion
    ? { kind: 'written-by-others' }
    : { kind: 'refused', why: conflict.message }
}

/** Whether the API server would accept an update of an object now. It writes nothing. */
export async function acceptsUpdate(
  client: KubeClient,
  served: ServedResource,
  object: ObjectState,
  signal: AbortSignal,
): Promise<boolean> {
  const status = await dryRun(client, makePatch(pathOf(served, object), {}, signal))
  return status < 300
}

function makePatch(path: string, body: object, signal: AbortSignal): KubeRequest {
  return { method: 'PATCH', path, accept: METADATA, body, signal }
}

/** The server reads the object and calls its admission plugins, but encrypts and stores nothing. */
async function dryRun(client: KubeClient, patch: KubeRequest): Promise<number> {
  const { status } = await client.send({ ...patch, query: { dryRun: 'All' } })
  return status
}

/** An object of a resource that is no longer served is also not found, and is still in etcd. Throws KUBE_NOT_FOUND then. */
async function requireServed(
  client: KubeClient,
  served: ServedResource,
  signal: AbortSignal,
): Promise<Outcome> {
  await listPage(client, served, undefined, signal, 1)
  return { kind: 'gone' }
}

/** 401 and transient errors affect every object; other errors are about this one. */
function refuse(error: BridgeError, status: number): Outcome {
  if (status === 401 || isTransient(error)) throw error
  return { kind: 'refused', why: error.message }
}
