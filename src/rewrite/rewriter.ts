import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import type { KubeClient } from '../kube/client.ts'
import type { ServedResource } from '../kube/discovery.ts'
import { listPage, type ObjectState } from '../kube/object-list.ts'
import { acceptsUpdate, rewriteObject, type Attempt, type Outcome } from './object-rewriter.ts'
import { Pace } from '../time/pace.ts'
import type { Persistence } from '../kube/persistence.ts'
import { formatResource } from '../kube/resource.ts'
import { progressOf, type ResourceProgress, type RewriteState } from './state.ts'

/** Concurrent writes: an API server accepts 200 from all clients together (--max-mutating-requests-inflight). */
const WORKERS = 8
/** Refused objects that are listed by name; the rest are only counted. */
const MAX_NAMED_REFUSALS = 20
/** How long an object is tried again that fails before it would be written: a webhook may only be restarting. */
const MAX_FAILING_MS = 20_000
/** How many other objects show at most whether the API server accepts updates at all. */
const MAX_WITNESSES = 8

/** An object with its resource. */
export interface ServedObject {
  readonly served: ServedResource
  readonly object: ObjectState
}

/** An object for which the API server rejects even a no-op update. */
export interface Refusal {
  readonly object: string
  readonly why: string
}

export interface RewriterOptions {
  readonly persistence: Persistence
  readonly state: RewriteState
  /** How long a failing request is repeated. */
  readonly patienceMs: number
  /** Objects of several resources. If this run has written none yet, they show whether the API server accepts updates. */
  readonly samples: readonly ServedObject[]
  /** Called after each page to save the state. */
  readonly save: () => Promise<void>
  /** Maximum objects per second; undefined means no limit. */
  readonly rate?: number | undefined
  readonly clock: Clock
  /** Called after each object. */
  readonly onObject: () => void
}

/** Rewrites resources page by page and saves the state after each page. Rewriting a page twice is harmless. */
export class Rewriter {
  readonly #options: RewriterOptions
  readonly #pace: Pace
  readonly refusals: Refusal[] = []
  /** The last object whose update the API server accepted. */
  #accepted: ServedObject | undefined

  constructor(options: RewriterOptions) {
    this.#options = options
    this.#pace = new Pace(options.rate, options.clock)
  }

  /** Throws CANCELLED if the signal is aborted, KUBE_* for a lasting error; complete pages are saved in either case. */
  async rewrite(served: ServedResource, signal: AbortSignal): Promise<void> {
    const { state, save, persistence } = this.#options
    const progress = progressOf(state, served.resource)
    while (!progress.done) {
      const { next } = progress
      const page = await persistence.run((client) => listPage(client, served, next, signal), signal)
      await this.#rewritePage(served, page.objects, progress, signal)
      if (page.next === undefined) delete progress.next
      else progress.next = page.next
      progress.done = page.next === undefined
      await save()
    }
  }

  /** Counts only a complete page: the next run repeats and counts an interrupted one. */
  async #rewritePage(
    served: ServedResource,
    objects: readonly ObjectState[],
    progress: ResourceProgress,
    signal: AbortSignal,
  ): Promise<void> {
    const counts = { ...progress.counts }
    const failing: Failing[] = []
    const keep = (object: ObjectState, done: Outcome) => {
      counts[COUNT_OF[done.kind]] += 1
      if (done.kind === 'refused') this.#keepRefusal(served, object, done.why)
      this.#options.onObject()
    }
    const tryOne = async (object: ObjectState, either: AbortSignal) => {
      const done = await this.#tryOne(served, object, either)
      if (done.kind === 'failing') failing.push({ object, since: this.#options.clock.monotonic() })
      else keep(object, done)
    }
    const retryOne = async (each: Failing, either: AbortSignal) =>
      keep(each.object, await this.#retryOne(served, each, either))
    await forEachOf(objects, tryOne, signal)
    // Last, so that they delay no other object.
    await forEachOf(failing, retryOne, signal)
    progress.counts = counts
  }

  async #tryOne(
    served: ServedResource,
    object: ObjectState,
    signal: AbortSignal,
  ): Promise<Attempt> {
    await this.#pace.spend(1, signal)
    return this.#options.persistence.run(
      (client) => this.#attempt(client, { served, object }, signal),
      signal,
    )
  }

  /** Tries an object again that fails before it would be written, on each API server at least once. */
  async #retryOne(
    served: ServedResource,
    { object, since }: Failing,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { persistence, clock, patienceMs } = this.#options
    const maxMs = Math.min(MAX_FAILING_MS, patienceMs)
    let failingSince = since
    let tries = 0
    await this.#pace.spend(1, signal)
    return persistence.run(async (client) => {
      const done = await this.#attempt(client, { served, object }, signal).catch(
        (error: unknown) => {
          failingSince = clock.monotonic()
          throw error
        },
      )
      if (done.kind !== 'failing') return done
      tries += 1
      const isLasting = tries >= persistence.servers && clock.monotonic() - failingSince >= maxMs
      if (!isLasting || !(await this.#acceptsOthers(client, object, signal))) throw done.error
      return { kind: 'refused', why: `${done.error.message}; ${WHAT_TO_DO}` }
    }, signal)
  }

  async #attempt(client: KubeClient, { served, object }: ServedObject, signal: AbortSignal) {
    const done = await rewriteObject(client, served, object, signal)
    if (done.kind === 'rewritten' || done.kind === 'current') this.#accepted = { served, object }
    return done
  }

  /** Whether the API server accepts an update of another object now. If not, the reason may affect every object. */
  async #acceptsOthers(client: KubeClient, { uid }: ObjectState, signal: AbortSignal) {
    const accepted = this.#accepted === undefined ? [] : [this.#accepted]
    const others = [...accepted, ...this.#options.samples].filter(
      ({ object }) => object.uid !== uid,
    )
    for (const { served, object } of others.slice(0, MAX_WITNESSES))
      if (await acceptsUpdate(client, served, object, signal)) return true
    return false
  }

  #keepRefusal({ resource }: ServedResource, { namespace, name }: ObjectState, why: string): void {
    if (this.refusals.length >= MAX_NAMED_REFUSALS) return
    const place = namespace === '' ? name : `${namespace}/${name}`
    this.refusals.push({ object: `${formatResource(resource)} ${place}`, why })
  }
}

const COUNT_OF = {
  rewritten: 'rewritten',
  current: 'current',
  gone: 'gone',
  'written-by-others': 'writtenByOthers',
  refused: 'refused',
} as const satisfies Record<Outcome['kind'], keyof ResourceProgress['counts']>

interface Failing {
  readonly object: ObjectState
  readonly since: number
}

const WHAT_TO_DO =
  'a dry run for this object fails, too, and one for another object succeeds, so an admission webhook is probably gone: repair it or remove its configuration, then run the same command again'

/** Does the work for each item, several at a time. If one fails, the others stop as well. */
async function forEachOf<T>(
  items: readonly T[],
  work: (item: T, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const queue = items.values()
  const failure = new AbortController()
  const either = AbortSignal.any([signal, failure.signal])
  const workers = Array.from({ length: WORKERS }, async () => {
    try {
      for (const item of queue) await work(item, either)
    } catch (error) {
      if (!failure.signal.aborted) failure.abort(error)
    }
  })
  await Promise.all(workers)
  if (failure.signal.aborted) throw BridgeError.from(failure.signal.reason)
}
