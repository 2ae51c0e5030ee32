import { BridgeError } from '../../errors.ts'

export interface FairGateOptions {
  /** How many pieces of work run at once. */
  readonly maxRunning: number
  /** How many of one owner run or wait; one more is refused. */
  readonly maxPerOwner: number
}

type Start = () => void

/** Limits how much work runs at once. Owners take turns, so that one with a long queue does not delay the others. */
export class FairGate {
  readonly #options: FairGateOptions
  /** The work that waits, by owner; the owner whose turn it is comes first. An owner without waiting work is absent. */
  readonly #waiting = new Map<string, Start[]>()
  readonly #counts = new Map<string, number>()
  #running = 0

  constructor(options: FairGateOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  /** Throws OVERLOADED if the owner has too much work in progress. */
  async run<T>(owner: string, work: () => Promise<T>): Promise<T> {
    const { maxPerOwner } = this.#options
    const count = this.#counts.get(owner) ?? 0
    if (count >= maxPerOwner) {
      throw new BridgeError(
        'OVERLOADED',
        `${String(maxPerOwner)} requests of this volume are already in progress; send fewer at once`,
      )
    }
    this.#counts.set(owner, count + 1)
    try {
      await this.#turn(owner)
      try {
        return await work()
      } finally {
        this.#running -= 1
        this.#startNext()
      }
    } finally {
      const left = (this.#counts.get(owner) ?? 1) - 1
      if (left === 0) this.#counts.delete(owner)
      else this.#counts.set(owner, left)
    }
  }

  #turn(owner: string): Promise<void> {
    if (this.#running < this.#options.maxRunning) {
      this.#running += 1
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      const queue = this.#waiting.get(owner)
      if (queue === undefined) this.#waiting.set(owner, [resolve])
      else queue.push(resolve)
    })
  }

  #startNext(): void {
    const [next] = this.#waiting
    if (next === undefined) return
    const [owner, queue] = next
    this.#waiting.delete(owner)
    const start = queue.shift()
    // At the end of the queue, until its next turn.
    if (queue.length > 0) this.#waiting.set(owner, queue)
    this.#running += 1
    start?.()
  }
}
