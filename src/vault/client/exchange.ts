import type { Dispatcher } from 'undici'
import type { CancelTimer, Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { RawAnswer } from './answer.ts'
import type { Connection } from './connection.ts'
import type { NameLookup } from './addresses/name-lookup.ts'
import { AttemptFailure, nameOperation, type Attempt } from './attempt.ts'
import { readNetworkFailure } from './network-failure.ts'
import type { VaultOperation } from './request.ts'
import { takeSecrets } from './secret-fields.ts'
import type { SilentTry } from './silence.ts'

/** The longest response that is read. A full batch of 64 takes about 20 KiB. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

/** Destroys the socket of a request that no caller is waiting for; never shown. */
const GIVEN_UP = new Error('given up')

/**
 * undici's handler of one HTTP exchange. It settles exactly once: by the answer, a network error, the timeout or the
 * caller's signal, whichever comes first. It can also settle while undici is still connecting and has nothing to abort.
 */
export class Exchange implements Dispatcher.DispatchHandler, SilentTry {
  readonly #attempt: Attempt
  readonly #address: string
  readonly #settle: (result: RawAnswer | AttemptFailure) => void
  readonly #clock: Clock
  readonly #names: Pick<NameLookup, 'isPending'> | undefined
  readonly startedAt: number
  readonly patienceMs: number
  readonly uniformPatienceMs: number | undefined
  readonly operation: VaultOperation
  #cancelTimer: CancelTimer
  readonly #signal: AbortSignal | undefined
  readonly #onAbort: (() => void) | undefined
  #connection: Connection | undefined
  #controller: Dispatcher.DispatchController | undefined
  #settled = false
  #status = 0
  #headers: Headers = {}
  #chunks: Buffer[] = []
  #size = 0

  /** Starts the timer. The caller must have checked that there is time left and that the signal is not aborted. */
  constructor(
    attempt: Attempt,
    address: string,
    clock: Clock,
    leftMs: number,
    settle: (result: RawAnswer | AttemptFailure) => void,
    names?: Pick<NameLookup, 'isPending'>,
  ) {
    this.#attempt = attempt
    this.#address = address
    this.#settle = settle
    this.startedAt = attempt.endsAt - leftMs
    this.#clock = clock
    this.#names = names
    this.patienceMs = attempt.patienceMs ?? leftMs
    this.uniformPatienceMs = attempt.uniformPatienceMs
    this.operation = attempt.request.operation
    const firstMs = Math.min(this.patienceMs, leftMs)
    this.#cancelTimer = clock.after(firstMs, () => this.#loseTime(firstMs, leftMs - firstMs))
    this.#signal = attempt.context.signal
    if (this.#signal !== undefined) {
      this.#onAbort = () => this.#giveUp(cancelled())
      this.#signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    attempt.silence?.begin(this)
  }

  /** A later request was answered, so the node that was asked is stuck. */
  leave(): void {
    this.#giveUp(this.#judgeSilence(overtaken(this.#attempt, this.#address)))
  }

  /** Vault has received a request of a pod, which may take longer than others. */
  #isOfPod(): boolean {
    return this.#attempt.request.passesOn === true && this.#controller !== undefined
  }

  #judgeSilence(failure: AttemptFailure): AttemptFailure {
    const isSilence = failure.error.code === 'VAULT_TIMEOUT' && this.#isOfPod()
    return isSilence ? new AttemptFailure(failure.error, 'sparingly') : failure
  }

  /** Milliseconds after `vault.timeout` that a request of a pod may last if it is not sent again, or is being answered. */
  #extraTime(): number {
    const isLast = this.patienceMs === Infinity || this.#status !== 0
    const { context, endsAt } = this.#attempt
    return this.#isOfPod() && isLast ? context.deadline - endsAt : 0
  }

  #loseTime(waitedMs: number, restMs: number): void {
    const waitMs = restMs === 0 ? 0 : Math.min(this.#timeToLeave(), restMs)
    if (waitMs > 0) {
      const lose = () => this.#loseTime(waitedMs + waitMs, restMs - waitMs)
      this.#cancelTimer = this.#clock.after(waitMs, lose)
      return
    }
    const extraMs = this.#extraTime()
    if (extraMs > 0) {
      const endsAt = this.#attempt.context.deadline
      const expire = () => this.#giveUp(timeIsUp({ ...this.#attempt, endsAt }, this.#address))
      this.#cancelTimer = this.#clock.after(extraMs, expire)
      return
    }
    const isUnsent = this.#controller === undefined
    const late = isUnsent && this.#names?.isPending === true ? lookupIsLate : timeIsUp
    const failure = late(this.#attempt, this.#address, restMs > 0 ? waitedMs : undefined)
    this.#giveUp(this.#judgeSilence(failure))
  }

  /** Infinity if it may not: a node whose response has begun is not silent. */
  #timeToLeave(): number {
    const { silence } = this.#attempt
    if (this.#status !== 0 || silence === undefined) return Infinity
    return silence.takeTurn(this.#clock.monotonic())
  }

  carriedBy(connection: Connection): void {
    this.#connection = connection
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#settled) controller.abort(GIVEN_UP)
    else this.#controller = controller
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#status = status
    this.#headers = headers
    this.#attempt.silence?.end(this)
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#settled) chunk.fill(0)
    else this.#chunks.push(chunk)
    const { passesOn = false } = this.#attempt.request
    if (this.#size > MAX_ANSWER_BYTES)
      this.#giveUp(passesOn ? tooLongForCaller() : tooLong(this.#address))
    else if (!this.#settled) this.#report()
  }

  #report(): void {
    try {
      this.#attempt.request.onBytes?.(this.#size)
    } catch (thrown) {
      this.#giveUp(new AttemptFailure(BridgeError.from(thrown), 'never'))
    }
  }

  onResponseEnd(): void {
    this.#finish({
      attempt: this.#attempt,
      connection: this.#connection,
      status: this.#status,
      ...this.#read(),
      retryAfter: first(this.#headers['retry-after']),
      rateLimitReset: first(this.#headers['x-ratelimit-reset']),
      location: first(this.#headers['location']),
    })
  }

  onResponseError(_: Dispatcher.DispatchController | null, error: Error): void {
    this.#finish(readNetworkFailure(error, this.#address, this.#status !== 0))
  }

  #read(): Pick<RawAnswer, 'text' | 'secrets' | 'bytes'> {
    const { operation, passesOn = false } = this.#attempt.request
    // One copy, which the caller zeroes; the chunks are zeroed here.
    if (passesOn) return { text: '', secrets: [], bytes: Buffer.concat(this.#chunks) }
    const [only = Buffer.alloc(0)] = this.#chunks
    return takeSecrets(this.#chunks.length <= 1 ? only : Buffer.concat(this.#chunks), operation)
  }

  #giveUp(failure: AttemptFailure): void {
    this.#finish(failure)
    this.#controller?.abort(GIVEN_UP)
  }

  #finish(result: RawAnswer | AttemptFailure): void {
    if (this.#settled) return
    this.#settled = true
    // The chunks belong to this program: undici's parser has another copy.
    for (const chunk of this.#chunks) chunk.fill(0)
    this.#chunks = []
    this.#cancelTimer()
    this.#attempt.silence?.end(this)
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#settle(result)
  }
}

type Headers = Record<string, string | string[] | undefined>

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

/**
 * The caller's own deadline is a limit of the call; no response within `vault.timeout` is an outage.
 * @param waitedMs if the request leaves before either of them
 */
export function timeIsUp(attempt: Attempt, address: string, waitedMs?: number): AttemptFailure {
  const operation = nameOperation(attempt.request)
  if (waitedMs === undefined && attempt.context.deadline <= attempt.endsAt) {
    const message = `the caller's deadline passed before Vault at ${address} answered ${operation}`
    return new AttemptFailure(new BridgeError('DEADLINE_EXCEEDED', message), 'never')
  }
  const limit = waitedMs === undefined ? 'vault.timeout' : `${waitedMs.toFixed(0)} ms`
  const message = `Vault at ${address} did not answer ${operation} within ${limit}`
  return new AttemptFailure(new BridgeError('VAULT_TIMEOUT', message), 'soon')
}

/** The node that was asked is stuck, as other requests are answered. */
function overtaken({ request }: Attempt, address: string): AttemptFailure {
  const message = `Vault at ${address} did not answer ${nameOperation(request)}, while a later request was answered`
  return new AttemptFailure(new BridgeError('VAULT_TIMEOUT', message), 'soon')
}

/** A name server that does not answer, as opposed to one that does not know the name (ENOTFOUND, EAI_AGAIN). */
function lookupIsLate(attempt: Attempt, address: string, waitedMs?: number): AttemptFailure {
  const { error, retry } = timeIsUp(attempt, address, waitedMs)
  const message = `${error.message}: the lookup of its host name has not ended; check the name servers of this host`
  return new AttemptFailure(new BridgeError(error.code, message), retry)
}

/** The caller disconnected. */
export function cancelled(): AttemptFailure {
  const message = 'the caller disconnected before Vault answered'
  return new AttemptFailure(new BridgeError('CANCELLED', message), 'never')
}

/** The program is stopping. */
export function closed(): AttemptFailure {
  return new AttemptFailure(new BridgeError('CANCELLED', 'the Vault client is closed'), 'never')
}

function tooLong(address: string): AttemptFailure {
  const message = `Vault at ${address} sent a response of more than ${String(MAX_ANSWER_BYTES)} bytes`
  return new AttemptFailure(new BridgeError('VAULT_ANSWER_INVALID', message), 'elsewhere')
}

/** The caller chose the request, so this says nothing about Vault, and other addresses would answer the same. */
function tooLongForCaller(): AttemptFailure {
  const limit = String(MAX_ANSWER_BYTES / 1024 / 1024)
  const message = `the response of Vault is larger than ${limit} MiB; send a smaller batch`
  return new AttemptFailure(new BridgeError('CONTENT_TOO_LARGE', message), 'never')
}
