import type { CallContext } from '../call-context.ts'
import { BridgeError } from '../errors.ts'
import type { CancelTimer, Clock } from '../time/clock.ts'

export interface FairGateOptions {
  /** How many pieces of work run at once. */
  readonly maxRunning: number
  /** How many pieces of work of one owner may run or wait; one more is refused. */
  readonly maxPerOwner: number
  readonly clock: Clock
}

type Start = () => void

/** The work of one owner. An owner without work is absent. */
interface Owner {
  running: number
  readonly waiting: Set<Start>
}

/**
 * Limits how much work runs at once. Owners take turns, so that one with a long queue does not delay the others. An owner whose
 * work runs already may start more only if it holds fewer places than are free: its slow work therefore never takes all places.
 */
export class FairGate {
  readonly #options: FairGateOptions
  /** The owner whose turn it is comes first. */
  readonly #owners = new Map<string, Owner>()
  #running = 0

  constructor(options: FairGateOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  /**
   * Throws OVERLOADED if the owner has too much work in progress, and DEADLINE_EXCEEDED or CANCELLED if the context ends the
   * wait for a turn.
   */
  async run<T>(owner: string, work: () => Promise<T>, context?: CallContext): Promise<T> {
    await this.#turn(owner, context)
    try {
      return await work()
    } finally {
      this.#running -= 1
      const own = this.#owners.get(owner)
      if (own !== undefined) own.running -= 1
      this.#forget(owner)
      this.#startNext()
    }
  }

  #turn(name: string, { signal, deadline = Infinity }: Partial<CallContext> = {}): Promise<void> {
    const { maxPerOwner, clock } = this.#options
    const owner = this.#owners.get(name) ?? { running: 0, waiting: new Set() }
    if (owner.running + owner.waiting.size >= maxPerOwner) {
      throw new BridgeError(
        'OVERLOADED',
        `${String(maxPerOwner)} requests of this volume are already in progress; send fewer at once`,
      )
    }
    if (signal?.aborted === true) throw cancelled()
    this.#owners.set(name, owner)
    return new Promise((resolve, reject) => {
      let cancelTimer: CancelTimer = () => undefined
      const leave = (error: BridgeError) => {
        end()
        owner.waiting.delete(start)
        this.#forget(name)
        reject(error)
      }
      const onAbort = () => leave(cancelled())
      const end = () => {
        cancelTimer()
        signal?.removeEventListener('abort', onAbort)
      }
      const start = () => {
        end()
        resolve()
      }
      owner.waiting.add(start)
      this.#startNext()
      if (!owner.waiting.has(start)) return
      signal?.addEventListener('abort', onAbort, { once: true })
      if (deadline === Infinity) return
      cancelTimer = clock.after(Math.max(0, deadline - clock.monotonic()), () => leave(late()))
    })
  }

  /** Starts all work that may start now. */
  #startNext(): void {
    while (this.#running < this.#options.maxRunning) {
      const next = this.#findNext()
      if (next === undefined) return
      const [name, owner] = next
      const [start] = owner.waiting
      if (start === undefined) return
      owner.waiting.delete(start)
      owner.running += 1
      this.#running += 1
      // All other owners have their turn first.
      this.#owners.delete(name)
      this.#owners.set(name, owner)
      start()
    }
  }

  #findNext(): [name: string, owner: Owner] | undefined {
    for (const entry of this.#owners) if (this.#mayStart(entry[1])) return entry
    return undefined
  }

  #mayStart({ running, waiting }: Owner): boolean {
    const free = this.#options.maxRunning - this.#running
    return waiting.size > 0 && free > 0 && (running === 0 || running < free)
  }

  #forget(name: string): void {
    const owner = this.#owners.get(name)
    if (owner?.running === 0 && owner.waiting.size === 0) this.#owners.delete(name)
  }
}

function cancelled(): BridgeError {
  return new BridgeError('CANCELLED', 'the client disconnected before its turn')
}

function late(): BridgeError {
  return new BridgeError(
    'DEADLINE_EXCEEDED',
    'the deadline passed while this request waited for others',
  )
}
