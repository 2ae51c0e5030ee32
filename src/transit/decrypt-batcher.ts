import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import type { DecryptInput, DecryptResult } from './transit.ts'

export interface DecryptBatcherOptions {
  /** Brings one request to Transit; results stand in the order of the inputs. */
  readonly decrypt: (
    inputs: readonly DecryptInput[],
    context: CallContext,
  ) => Promise<DecryptResult[]>
  readonly clock: Clock
  /** Told the number of values of each request. */
  readonly onBatch: (size: number) => void
  /** Most values in one request. Default 64: OpenBao refuses a body of over 1,000 JSON strings. */
  readonly maxBatchSize?: number
  /** Requests under way at once; further calls wait and share the next one. Default 2. */
  readonly maxInFlight?: number
  /**
   * Runs something when the calls that have arrived already have all been read. Default: setImmediate, which
   * comes right behind the reading of sockets; it takes no time, and halves the requests of 64 callers.
   */
  readonly afterArrivals?: (run: () => void) => void
}

interface Waiting {
  readonly input: DecryptInput
  readonly context: CallContext
  /** Gives the result to the caller; does nothing but zero it when the caller has one. */
  readonly settle: (result: DecryptResult) => void
  /** Whether the caller still waits: not when its deadline passed or it went away. */
  readonly isOpen: () => boolean
}

/**
 * Gathers concurrent Decrypts into one Transit request (design §2.8). A lone call goes out at once; calls
 * that arrive together leave together, and so do those that come while requests are under way. Each call keeps its own
 * deadline and its own error.
 */
export class DecryptBatcher {
  readonly #options: Required<DecryptBatcherOptions>
  #queue: Waiting[] = []
  #inFlight = 0
  #isFlushDue = false

  constructor(options: DecryptBatcherOptions) {
    this.#options = {
      maxBatchSize: 64,
      maxInFlight: 2,
      afterArrivals: (run) => void setImmediate(run),
      ...options,
    }
  }

  /** The plaintext, which the caller owns and zeroes. Throws the value's own error. */
  async decrypt(input: DecryptInput, context: CallContext): Promise<Buffer> {
    const result = await this.#enqueue(input, context)
    if (result instanceof BridgeError) throw result
    return result
  }

  #enqueue(input: DecryptInput, context: CallContext): Promise<DecryptResult> {
    return new Promise((resolve) => {
      this.#queue.push({ input, context, ...this.#settleOnce(context, resolve) })
      this.#flushAfterArrivals()
    })
  }

  /** Settles by whichever comes first: the result, the caller's deadline, the caller going away. */
  #settleOnce(
    context: CallContext,
    resolve: (result: DecryptResult) => void,
  ): Pick<Waiting, 'settle' | 'isOpen'> {
    const { clock } = this.#options
    let settled = false
    const settle = (result: DecryptResult) => {
      if (settled) {
        // Nobody waits for this plaintext any more.
        if (Buffer.isBuffer(result)) result.fill(0)
        return
      }
      settled = true
      cancelTimer()
      context.signal?.removeEventListener('abort', onAbort)
      resolve(result)
    }
    const onAbort = () => settle(new BridgeError('CANCELLED', 'the caller went away'))
    const cancelTimer = clock.after(Math.max(0, context.deadline - clock.monotonic()), () =>
      settle(new BridgeError('DEADLINE_EXCEEDED', 'vault did not answer before the deadline')),
    )
    context.signal?.addEventListener('abort', onAbort, { once: true })
    if (context.signal?.aborted === true) onAbort()
    return { settle, isOpen: () => !settled }
  }

  #flushAfterArrivals(): void {
    if (this.#isFlushDue || this.#inFlight >= this.#options.maxInFlight) return
    this.#isFlushDue = true
    this.#options.afterArrivals(() => {
      this.#isFlushDue = false
      this.#flush()
    })
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#inFlight < this.#options.maxInFlight) {
      const batch = this.#queue.splice(0, this.#options.maxBatchSize).filter(isOpen)
      if (batch.length > 0) void this.#send(batch)
    }
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    this.#inFlight += 1
    const results = await this.#resultsOf(batch)
    this.#inFlight -= 1
    batch.forEach((waiting, index) => {
      waiting.settle(results[index] ?? new BridgeError('INTERNAL', 'internal error'))
    })
    this.#flush()
  }

  async #resultsOf(batch: readonly Waiting[]): Promise<readonly DecryptResult[]> {
    const inputs = batch.map((waiting) => waiting.input)
    this.#options.onBatch(batch.length)
    try {
      return await this.#options.decrypt(inputs, joinContexts(batch))
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      // Transit refused the batch as a whole: find out for each value, so that one cannot spoil the others.
      if (error.code === 'VAULT_REJECTED' && batch.length > 1) return this.#oneByOne(batch)
      return batch.map(() => error)
    }
  }

  async #oneByOne(batch: readonly Waiting[]): Promise<DecryptResult[]> {
    const ask = async (waiting: Waiting) => (isOpen(waiting) ? this.#resultsOf([waiting]) : [])
    const results = await Promise.all(batch.map(ask))
    return results.map((result) => result[0] ?? new BridgeError('INTERNAL', 'internal error'))
  }
}

function isOpen(waiting: Waiting): boolean {
  return waiting.isOpen()
}

/** A batch lives as long as its most patient caller; a lone call is aborted with its caller. */
function joinContexts(batch: readonly Waiting[]): CallContext {
  const [first] = batch
  if (batch.length === 1 && first !== undefined) return first.context
  const deadline = Math.max(...batch.map((waiting) => waiting.context.deadline))
  const uids = batch.flatMap((waiting) => waiting.context.uid ?? [])
  return uids.length === 0 ? { deadline } : { deadline, uid: uids.join(',') }
}
