import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient } from './client.ts'
import { isTransient } from './fault.ts'

const FIRST_DELAY_MS = 250
const MAX_DELAY_MS = 5_000

export interface PersistenceOptions {
  /** API servers of one cluster: each can answer any request. */
  readonly clients: readonly KubeClient[]
  readonly clock: Clock
  /** How long a failing request is repeated before its error is thrown. */
  readonly patienceMs: number
  /** Called for the first of several failures in a row. */
  readonly onTrouble: (error: BridgeError) => void
}

/** Repeats idempotent requests with increasing delays, on another API server after each failure. */
export class Persistence {
  readonly #options: PersistenceOptions
  #current = 0
  #isReported = false

  constructor(options: PersistenceOptions) {
    this.#options = options
  }

  /** How many API servers there are. */
  get servers(): number {
    return this.#options.clients.length
  }

  /** Throws the last transient error after `patienceMs`, any other error immediately, CANCELLED if the signal is aborted. */
  async run<T>(work: (client: KubeClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, patienceMs } = this.#options
    const startedAt = clock.monotonic()
    let index = this.#current
    for (let tries = 0; ; tries += 1) {
      if (signal.aborted) throw new BridgeError('CANCELLED', 'stopped')
      try {
        const result = await work(this.#client(index))
        this.#isReported = false
        return result
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        if (!isTransient(error) || clock.monotonic() - startedAt > patienceMs) throw error
        index = this.#leave(index, error)
        await wait(Math.min(FIRST_DELAY_MS * 2 ** tries, MAX_DELAY_MS), clock, signal)
      }
    }
  }

  #client(index: number): KubeClient {
    const client = this.#options.clients[index]
    if (client === undefined) throw new TypeError('a cluster has an API server')
    return client
  }

  /**
   * Returns the next API server for a request that failed. Later requests start there, too, unless another request has already
   * moved them on.
   */
  #leave(index: number, error: BridgeError): number {
    const next = (index + 1) % this.servers
    if (this.#current === index) this.#current = next
    if (!this.#isReported) this.#options.onTrouble(error)
    this.#isReported = true
    return next
  }
}
