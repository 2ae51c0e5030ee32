import type { CallContext } from '../../call-context.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import { waitWithin } from '../../time/bounded-wait.ts'
import type { Clock } from '../../time/clock.ts'

/** Shortest time of shared work, because later callers join it. */
const MIN_TIME_MS = 8_000

interface Running<T> {
  readonly result: Promise<T>
  readonly deadline: number
}

/**
 * Requests to Vault that concurrent calls share. Each call waits until its own deadline, and neither less because it joined
 * another one, nor more.
 */
export class SharedWork<T> {
  readonly #clock: Clock
  readonly #running = new Map<string, Running<T>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** How many are in progress. They outlive their callers. */
  get size(): number {
    return this.#running.size
  }

  /** Joins the work with this id, or starts it. `start` receives the deadline of the work. */
  async run(id: string, context: CallContext, start: (deadline: number) => Promise<T>): Promise<T> {
    for (;;) {
      const joined = this.#running.get(id)
      const { result } = joined ?? this.#start(id, context, start)
      try {
        return await waitWithin(result, context, this.#clock, 'Vault')
      } catch (error) {
        const hadLessTime = joined !== undefined && joined.deadline < context.deadline
        const isOver = this.#clock.monotonic() >= context.deadline
        if (!hadLessTime || isOver || !isUnanswered(error)) throw error
      }
    }
  }

  #start(id: string, { deadline }: CallContext, start: (deadline: number) => Promise<T>) {
    const end = Math.max(deadline, this.#clock.monotonic() + MIN_TIME_MS)
    const result = start(end).finally(() => this.#running.delete(id))
    const running = { result, deadline: end }
    this.#running.set(id, running)
    return running
  }
}

function isUnanswered(error: unknown): boolean {
  const { code } = BridgeError.from(error)
  return code === 'DEADLINE_EXCEEDED' || isOutage(BridgeError.from(error))
}
