import type { CallContext } from '../call-context.ts'
import { BridgeError } from '../errors.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import type { Clock } from '../time/clock.ts'

export interface ByteBudgetOptions {
  /** Bytes that calls may work on at once. */
  readonly maxActiveBytes: number
  /** Bytes of the calls that may wait; a call beyond this limit is refused with OVERLOADED. */
  readonly maxWaitingBytes: number
  readonly clock: Clock
}

interface Waiting {
  readonly bytes: number
  readonly start: () => void
}

/** Bounds the bytes of all calls in progress. Calls that must wait start in the order in which they arrived. */
export class ByteBudget {
  readonly #options: ByteBudgetOptions
  readonly #queue = new Set<Waiting>()
  #activeBytes = 0
  #waitingBytes = 0

  constructor(options: ByteBudgetOptions) {
    this.#options = options
  }

  /** Runs `work` as soon as its bytes fit. Throws OVERLOADED, DEADLINE_EXCEEDED or CANCELLED without running it. */
  async spend<T>(bytes: number, context: CallContext, work: () => Promise<T>): Promise<T> {
    if (this.#queue.size > 0 || !this.#fits(bytes)) await this.#wait(bytes, context)
    else this.#activeBytes += bytes
    try {
      return await work()
    } finally {
      this.#activeBytes -= bytes
      this.#startNext()
    }
  }

  /** A call that is larger than the whole budget runs alone. */
  #fits(bytes: number): boolean {
    return this.#activeBytes === 0 || this.#activeBytes + bytes <= this.#options.maxActiveBytes
  }

  async #wait(bytes: number, context: CallContext): Promise<void> {
    const { maxWaitingBytes, clock } = this.#options
    if (this.#waitingBytes + bytes > maxWaitingBytes) {
      throw new BridgeError(
        'OVERLOADED',
        `calls with ${String(this.#waitingBytes + this.#activeBytes)} bytes are in progress or waiting; retry later, or send less at once`,
      )
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiting = { bytes, start: resolve }
    this.#queue.add(waiting)
    this.#waitingBytes += bytes
    try {
      await waitWithin(promise, context, clock, 'calls that arrived before it')
    } catch (error) {
      // It was started at the moment at which it gave up: its bytes are active and must be returned.
      if (this.#leave(waiting)) this.#startNext()
      else this.#release(bytes)
      throw error
    }
  }

  #startNext(): void {
    for (const waiting of this.#queue) {
      if (!this.#fits(waiting.bytes)) return
      this.#leave(waiting)
      this.#activeBytes += waiting.bytes
      waiting.start()
    }
  }

  #release(bytes: number): void {
    this.#activeBytes -= bytes
    this.#startNext()
  }

  #leave(waiting: Waiting): boolean {
    if (!this.#queue.delete(waiting)) return false
    this.#waitingBytes -= waiting.bytes
    return true
  }
}
