import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient } from './client.ts'
import { isPassing } from './fault.ts'

const FIRST_DELAY = 250
const LONGEST_DELAY = 5_000

export interface PersistenceOptions {
  /** API servers that may stand in for each other. */
  readonly clients: readonly KubeClient[]
  readonly clock: Clock
  /** How long a request is tried again before its error is told, in milliseconds. */
  readonly patience: number
  /** Told of the first failure in a row, and that it is tried again. */
  readonly onTrouble: (error: BridgeError) => void
}

/** Sends what cannot harm when it is sent twice, through whichever API server answers, until patience ends. */
export class Persistence {
  readonly #options: PersistenceOptions
  #current = 0
  #isTold = false

  constructor(options: PersistenceOptions) {
    this.#options = options
  }

  /** Throws the last error when patience ends, at once what cannot pass, CANCELLED when the signal is aborted. */
  async run<T>(work: (client: KubeClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, patience } = this.#options
    const startedAt = clock.monotonic()
    for (let tries = 0; ; tries += 1) {
      if (signal.aborted) throw new BridgeError('CANCELLED', 'stopped as asked')
      const index = this.#current
      try {
        const result = await work(this.#client(index))
        this.#isTold = false
        return result
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        if (!isPassing(error) || clock.monotonic() - startedAt > patience) throw error
        this.#leave(index, error)
        await wait(Math.min(FIRST_DELAY * 2 ** tries, LONGEST_DELAY), clock, signal)
      }
    }
  }

  #client(index: number): KubeClient {
    const client = this.#options.clients[index]
    if (client === undefined) throw new TypeError('a cluster has an API server')
    return client
  }

  /** Of many requests that fail at once, the first moves on. */
  #leave(index: number, error: BridgeError): void {
    if (this.#current === index) this.#current = (index + 1) % this.#options.clients.length
    if (this.#isTold) return
    this.#isTold = true
    this.#options.onTrouble(error)
  }
}
