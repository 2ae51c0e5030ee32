import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import type { ServedResource } from '../kube/discovery.ts'
import { listPage, type ObjectState } from '../kube/object-list.ts'
import { rewriteObject, type Rewriting } from './object-rewriter.ts'
import { Pace } from '../time/pace.ts'
import type { Persistence } from '../kube/persistence.ts'
import { formatResource } from '../kube/resource.ts'
import { progressOf, type ResourceProgress, type RewriteState } from './state.ts'

/** Concurrent writes: an API server accepts 200 from all clients together (--max-mutating-requests-inflight). */
const WORKERS = 8
/** Refused objects that are listed by name; the rest are only counted. */
const MAX_NAMED_REFUSALS = 20

/** An object for which the API server rejects even a no-op update. */
export interface Refusal {
  readonly object: string
  readonly why: string
}

export interface RewriterOptions {
  readonly persistence: Persistence
  readonly state: RewriteState
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
    const queue = objects.values()
    // If one worker fails, the others stop as well.
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
} as const satisfies Record<Rewriting['kind'], keyof ResourceProgress['counts']>
