import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError, isOutage } from '../errors.ts'
import { countNextBatch, MAX_BATCH_ITEMS } from './batch.ts'

/** Maximum number of requests in flight. Further calls wait and form the next batch. */
const MAX_BATCHES_IN_FLIGHT = 2
/** The same while Vault denies batches and each request holds one value. */
const MAX_SINGLES_IN_FLIGHT = 16
/** How long after a denial no batch is sent. */
const DENIED_BATCH_PAUSE_MS = 60_000

export interface BatcherOptions<Input, Result> {
  /** Sends one request to Transit; results have the order of the inputs. The error of one value is its result. */
  readonly send: (
    inputs: readonly Input[],
    context: CallContext,
  ) => Promise<readonly (Result | BridgeError)[]>
  /** The bytes that a value adds to the body of a request. */
  readonly sizeOf: (input: Input) => number
  /** Called with a result whose caller is gone. */
  readonly discard?: ((result: Result) => void) | undefined
  readonly clock: Clock
  /** Receives the number of values of each request. */
  readonly onBatch?: ((size: number) => void) | undefined
  /** Called when Vault denies a batch and allows its values one by one. */
  readonly onBatchDenied: (error: BridgeError) => void
  /**
   * Runs a function after all calls that have already arrived were read. Default: setImmediate, which runs after the
   * poll phase of Node's event loop (https://nodejs.org/en/learn/asynchronous-work/event-loop-timers-and-nexttick).
   */
  readonly afterArrivals?: (run: () => void) => void
}

interface Waiting<Input, Result> {
  readonly input: Input
  readonly context: CallContext
  /** Hands the result to the caller; a result that comes too late is discarded. */
  readonly settle: (result: Result | BridgeError) => void
  /** Whether the caller still waits: its deadline has not passed and it did not cancel. */
  readonly isOpen: () => boolean
}

/**
 * Combines concurrent calls into Transit requests (docs/design.md, "Batched calls"). A single call is sent at once; calls that
 * arrive together share a request, and so do calls that arrive while requests are in flight. Each call keeps its own deadline and
 * its own error. The caller limits how much may wait (ByteBudget).
 */
export class Batcher<Input, Result> {
  readonly #options: BatcherOptions<Input, Result>
  #queue: Waiting<Input, Result>[] = []
  #inFlight = 0
  /** Why Vault cannot answer the requests in flight. */
  #outage: BridgeError | undefined
  #isFlushDue = false
  #batchesDeniedUntil = -Infinity

  constructor(options: BatcherOptions<Input, Result>) {
    this.#options = options
  }

  /** Returns the result of one value, which the caller owns. Throws the value's own error. */
  run(input: Input, context: CallContext): Promise<Result> {
    return new Promise((resolve, reject) => {
      const end = (result: Result | BridgeError) => {
        if (result instanceof BridgeError) reject(result)
        else resolve(result)
      }
      this.#queue.push({ input, context, ...this.#settleOnce(context, end) })
      this.#flushAfterArrivals()
    })
  }

  /** Sends single values for a while: Vault denies batches to this token. */
  pauseBatches(error: BridgeError): void {
    const { clock, onBatchDenied } = this.#options
    this.#batchesDeniedUntil = clock.monotonic() + DENIED_BATCH_PAUSE_MS
    onBatchDenied(error)
  }

  /** Settles by whichever comes first: the result, the caller's deadline, the caller's cancellation. */
  #settleOnce(
    context: CallContext,
    end: (result: Result | BridgeError) => void,
  ): Pick<Waiting<Input, Result>, 'settle' | 'isOpen'> {
    const { clock, discard } = this.#options
    let settled = false
    const settle = (result: Result | BridgeError) => {
      if (settled) {
        if (!(result instanceof BridgeError)) discard?.(result)
        return
      }
      settled = true
      cancelTimer()
      context.signal?.removeEventListener('abort', onAbort)
      end(result)
    }
    const onAbort = () => settle(new BridgeError('CANCELLED', 'the caller cancelled the call'))
    const cancelTimer = clock.after(Math.max(0, context.deadline - clock.monotonic()), () =>
      settle(this.#outage ?? tooLate()),
    )
    context.signal?.addEventListener('abort', onAbort, { once: true })
    if (context.signal?.aborted === true) onAbort()
    return { settle, isOpen: () => !settled }
  }

  get #sendsSingles(): boolean {
    return this.#options.clock.monotonic() < this.#batchesDeniedUntil
  }

  get #hasFreeRequest(): boolean {
    return this.#inFlight < (this.#sendsSingles ? MAX_SINGLES_IN_FLIGHT : MAX_BATCHES_IN_FLIGHT)
  }

  #flushAfterArrivals(): void {
    if (this.#isFlushDue || !this.#hasFreeRequest) return
    this.#isFlushDue = true
    const { afterArrivals = setImmediate } = this.#options
    afterArrivals(() => {
      this.#isFlushDue = false
      this.#flush()
    })
  }

  #flush(): void {
    // Otherwise a ciphertext would stay in memory after the deadline of its call, until another request may be sent.
    if (!this.#queue.every(isOpen)) this.#queue = this.#queue.filter(isOpen)
    while (this.#queue.length > 0 && this.#hasFreeRequest) void this.#send(this.#takeBatch())
  }

  #takeBatch(): readonly Waiting<Input, Result>[] {
    const inputs = this.#queue.slice(0, MAX_BATCH_ITEMS).map(({ input }) => input)
    const count = this.#sendsSingles ? 1 : countNextBatch(inputs, this.#options.sizeOf)
    return this.#queue.splice(0, count)
  }

  async #send(batch: readonly Waiting<Input, Result>[]): Promise<void> {
    if (this.#inFlight === 0) this.#outage = undefined
    this.#inFlight += 1
    this.#note(await this.#answer(batch))
    this.#inFlight -= 1
    this.#flush()
  }

  /** Calls that wait during an outage fail at their deadline with its reason. */
  #note(error: BridgeError | undefined): void {
    this.#outage = error !== undefined && isOutage(error) ? error : undefined
  }

  /**
   * Settles every call of a batch. Returns the fault that concerns the request as a whole.
   * @param wasDenied whether these values are the rest of a batch that Vault denied, and that had a value that it then allowed
   */
  async #answer(
    batch: readonly Waiting<Input, Result>[],
    wasDenied = false,
  ): Promise<BridgeError | undefined> {
    this.#options.onBatch?.(batch.length)
    try {
      const inputs = batch.map(({ input }) => input)
      const context = joinContexts(batch, (reason) => this.#note(reason))
      const results = await this.#options.send(inputs, context)
      batch.forEach(({ settle }, index) => {
        settle(results[index] ?? new BridgeError('INTERNAL', 'internal error'))
      })
      return undefined
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (batch.length > 1 && mayConcernOneValue(error)) await this.#split(batch, error, wasDenied)
      else for (const { settle } of batch) settle(error)
      return error
    }
  }

  /**
   * Sends the values one by one. After a denial, it first sends one, so that a lost permission costs only one more request. If
   * Vault allows that one, the Vault token may have been replaced in between, so only a second denial of a batch shows that a
   * policy denies batches.
   */
  async #split(
    batch: readonly Waiting<Input, Result>[],
    error: BridgeError,
    wasDenied: boolean,
  ): Promise<void> {
    const [first, ...rest] = batch.filter(isOpen)
    if (first === undefined) return
    const isDenied = error.code === 'VAULT_DENIED'
    const probe = this.#answer([first])
    if (isDenied && (await probe)?.code === 'VAULT_DENIED') {
      for (const { settle } of rest) settle(error)
      return
    }
    // The plaintext of a call that gave up meanwhile was zeroed.
    const open = rest.filter(isOpen)
    if (isDenied && !wasDenied) {
      if (open.length > 0) await this.#answer(open, true)
      return
    }
    if (isDenied) this.pauseBatches(error)
    await Promise.all([probe, ...open.map((waiting) => this.#answer([waiting]))])
  }
}

function tooLate(): BridgeError {
  return new BridgeError('DEADLINE_EXCEEDED', 'Vault did not answer before the deadline')
}

/** A value that Vault rejects, or a policy that allows no `batch_input`. */
function mayConcernOneValue({ code }: BridgeError): boolean {
  return code === 'VAULT_REJECTED' || code === 'VAULT_DENIED'
}

function isOpen(waiting: Pick<Waiting<unknown, never>, 'isOpen'>): boolean {
  return waiting.isOpen()
}

/** A batch ends with its latest deadline; a single call is aborted with its caller. */
function joinContexts(
  batch: readonly Pick<Waiting<unknown, never>, 'context' | 'isOpen'>[],
  note: (reason: BridgeError) => void,
): CallContext {
  const [first] = batch
  const onRetry = (reason: BridgeError) => {
    note(reason)
    for (const { context } of batch.filter(isOpen)) context.onRetry?.(reason)
  }
  if (batch.length === 1 && first !== undefined) return { ...first.context, onRetry }
  const deadline = Math.max(...batch.map(({ context }) => context.deadline))
  const uids = batch.flatMap(({ context }) => context.uid ?? [])
  return {
    deadline,
    uid: uids.length === 0 ? undefined : uids.join(','),
    onRetry,
    onVaultRequest: () => {
      for (const { context } of batch) context.onVaultRequest?.()
    },
  }
}
