import type { KubeClient } from '../kube/client.ts'
import {
  isSilent,
  readApiServer,
  readApiServerMetrics,
  type ApiServerReading,
  type ApiServerView,
} from './api-server-view.ts'

/** A load balancer that takes turns shows a second API server at once, a random one with a probability of 15 in 16. */
const FIRST_READINGS = 5
const LATER_READINGS = 2
/** The Date header has whole seconds, and the clocks of two API servers are not quite equal. */
const CLOCK_TOLERANCE_SECONDS = 2

/** The API servers that have answered at one address: more than one if a load balancer is in front of them. */
export class AddressReader {
  readonly #client: KubeClient
  /** The last reading of each API server. */
  #known: readonly ApiServerView[] = []

  constructor(client: KubeClient) {
    this.#client = client
  }

  /**
   * Reads several times, each over a new connection, and returns a reading of each API server that ever answered. Never
   * throws.
   */
  async read(): Promise<readonly ApiServerReading[]> {
    const probes = (this.#known.length === 0 ? FIRST_READINGS : LATER_READINGS) - 1
    // One right after the other: requests in between would keep the rhythm of a load balancer that takes turns.
    for (let done = 0; done < probes; done += 1)
      this.#keep(await readApiServerMetrics(this.#client))
    const last = this.#keep(await readApiServer(this.#client))
    return isSilent(last) ? [...this.#others, last] : this.#known
  }

  /** If this is a load balancer. */
  get #others(): readonly ApiServerView[] {
    return this.#known.length > 1 ? this.#known : []
  }

  #keep(reading: ApiServerReading): ApiServerReading {
    if (!isSilent(reading))
      this.#known = [...this.#known.filter((known) => !isSameServer(known, reading)), reading]
    return reading
  }
}

/**
 * Whether two readings at one address, the later one second, can be of the same API server, which may have restarted in
 * between.
 */
export function isSameServer(one: ApiServerView, later: ApiServerView): boolean {
  if (one.id !== undefined && later.id !== undefined && one.id !== later.id) return false
  if (one.startedAt === undefined || later.startedAt === undefined || one.readAt === undefined)
    return true
  if (one.startedAt === later.startedAt) return true
  // A process that ran already when the other one answered is another API server, not a restart.
  return later.startedAt > one.readAt - CLOCK_TOLERANCE_SECONDS
}
