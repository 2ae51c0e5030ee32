import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import type { ServedResource } from '../kube/discovery.ts'
import { listPage, type ObjectState } from '../kube/object-list.ts'
import { rewriteObject, type Rewriting } from './object-rewriter.ts'
import { Pace } from '../time/pace.ts'
import type { Persistence } from '../kube/persistence.ts'
import { formatResource } from '../kube/resource.ts'
import { progressOf, type ResourceProgress, type RewriteState } from './state.ts'

/** Writes in flight at once: an API server takes 200 (--max-mutating-requests-inflight) from everybody together. */
const WORKERS = 8
/** Objects that are refused and named; the rest is counted. */
const NAMED_REFUSALS = 20

/** Objects that the API server does not take even unchanged. */
export interface Refusal {
  readonly object: string
  readonly why: string
}

export interface RewriterOptions {
  readonly persistence: Persistence
  readonly state: RewriteState
  /** Told after each page, with the state as it is then. */
  readonly save: () => Promise<void>
  /** Objects a second at most; undefined: as fast as it goes. */
  readonly rate?: number
  readonly clock: Clock
  /** Told of each object that was dealt with. */
  readonly onObject: () => void
}

/** Rewrites resources page by page. What is done before a page is saved when it is done; doing a page twice does no harm. */
export class Rewriter {
  readonly #options: RewriterOptions
  readonly #pace: Pace
  readonly refusals: Refusal[] = []

  constructor(options: RewriterOptions) {
    this.#options = options
    this.#pace = new Pace(options.rate, options.clock)
  }

  /** Throws CANCELLED if the signal is aborted, and KUBE_* for what does not pass; what is done is saved in either case. */
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

  /** Counts only if the whole page is done: an interrupted one is done, and counted, by the next run. */
  async #rewritePage(
    served: ServedResource,
    objects: readonly ObjectState[],
    progress: ResourceProgress,
    signal: AbortSignal,
  ): Promise<void> {
    const counts = { ...progress.counts }
    const queue = objects.values()
    // When one of the workers fails, the others stop, too.
    const failure = new AbortController()
    const either = AbortSignal.any([signal, failure.signal])
    const work = async () => {
      for (const object of queue) {
        const done = await this.#rewriteOne(served, object, either)
        counts[COUNT_OF[done.kind]] += 1
        if (done.kind === 'refused') this.#keepRefusal(served, object, done.why)
        this.#options.onObject()
      }
    }
    const workers = Array.from({ length: WORKERS }, async () => {
      try {
        await work()
      } catch (error) {
        if (!failure.signal.aborted) failure.abort(error)
      }
    })
    await Promise.all(workers)
    if (failure.signal.aborted) throw BridgeError.from(failure.signal.reason)
    progress.counts = counts
  }

  async #rewriteOne(served: ServedResource, object: ObjectState, signal: AbortSignal) {
    await this.#pace.spend(1, signal)
    return this.#options.persistence.run(
      (client) => rewriteObject(client, served, object, signal),
      signal,
    )
  }

  #keepRefusal({ resource }: ServedResource, { namespace, name }: ObjectState, why: string): void {
    if (this.refusals.length >= NAMED_REFUSALS) return
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
} as const satisfies Record<Rewriting['kind'], keyof ResourceProgress['counts']>
