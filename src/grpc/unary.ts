import type { DescField, DescMethodUnary, DescMessage, MessageShape } from '@bufbuild/protobuf'
import {
  Metadata,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError, type ErrorCode } from '../errors.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import { divideTime } from './call-times.ts'
import { hasEnded } from './http2-server.ts'
import { decode, encode, wipe, type Fields } from './message-codec.ts'
import { SecretMessage, type SentMessage } from './sent-message.ts'
import { toDetails, toGrpcStatus } from './status.ts'
import { UnreadResponses } from './unread-responses.ts'

/** Handles one call, in generated types: receives a decoded request and returns the fields of the response. */
export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => Promise<Fields<O>> | Fields<O>

export interface UnaryFunnelOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Called for every call with its method, the name of its gRPC status, and its duration. */
  readonly onCall: (method: string, code: string, seconds: number) => void
  /** Maximum number of calls in progress; one more is refused with RESOURCE_EXHAUSTED. */
  readonly maxInFlight: number
  /** Larger requests are refused before they are decoded. Default: only the limit of the server applies, in grpc-js. */
  readonly maxRequestBytes?: number | undefined
  /** Returns the error of a larger request. Default: REQUEST_INVALID with its size. */
  readonly refuseLarge?: ((request: Buffer) => BridgeError) | undefined
  /** Bounds the responses that clients have not read. Default: 16 MiB. */
  readonly unread?: UnreadResponses | undefined
  /** The configuration key that sets maxInFlight; empty if there is none. Default: kms.maxCallsInFlight. */
  readonly limitSetting?: string | undefined
  /** Default: the table of status.ts. */
  readonly toStatus?: ((code: ErrorCode) => status) | undefined
}

/** An API server reads at once, and its responses have a few hundred bytes. */
const DEFAULT_UNREAD_BYTES = 16 * 1024 * 1024

/** Created once: an abort without a reason creates an exception with a stack for each call. */
const CALLER_GONE = new Error('the caller disconnected')
const OUT_OF_TIME = new Error('the deadline of the call has passed')

/** A call of grpc-js; request and answer pass through grpc-js as bytes. */
type Call = ServerUnaryCall<Buffer, SentMessage>

export interface UnaryMethodOptions<I extends DescMessage> {
  /** A repeated field that the handler does not read. It is neither decoded nor counted as many fields. */
  readonly ignored?: DescField | undefined
  /** Called when the handler succeeded but its response is not sent. */
  readonly onUnsent?: ((request: MessageShape<I>, error: BridgeError) => void) | undefined
}

interface ServedMethod<I extends DescMessage, O extends DescMessage> extends UnaryMethodOptions<I> {
  readonly method: DescMethodUnary<I, O>
  readonly handle: UnaryHandler<I, O>
  readonly limit: 'limited' | 'unlimited'
}

interface UnaryCallFacts {
  readonly method: string
  uid?: string
  vaultRequests: number
  /** Set when the call is reported. Requests for it after that have their own lines. */
  code?: string
}

interface OpenCall {
  readonly startedAt: number
  readonly reply: sendUnaryData<SentMessage>
  readonly facts: UnaryCallFacts
}

/**
 * Every unary call passes through here: limit, decoding, deadline, log line, metric, status of an error, and zeroing of what held
 * plaintext. So handlers have only a few lines.
 */
export class UnaryFunnel {
  readonly #options: UnaryFunnelOptions
  readonly #unread: UnreadResponses
  #inFlight = 0

  constructor(options: UnaryFunnelOptions) {
    const { clock, log, unread } = options
    this.#options = options
    this.#unread = unread ?? new UnreadResponses({ maxBytes: DEFAULT_UNREAD_BYTES, clock, log })
  }

  /** Calls that are being answered. */
  get callsInFlight(): number {
    return this.#inFlight
  }

  /**
   * Creates grpc-js's handler of one method. A method that answers from memory, with less than 1 KiB, is "unlimited": a burst of
   * calls of other methods must not make it fail.
   */
  serve<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    handle: UnaryHandler<I, O>,
    limit: 'limited' | 'unlimited' = 'limited',
    more: UnaryMethodOptions<I> = {},
  ): UntypedHandleCall {
    const served: ServedMethod<I, O> = { ...more, method, handle, limit }
    const refused: ServedMethod<I, O> = { ...served, handle: () => this.#refuse() }
    return (call: Call, reply: sendUnaryData<SentMessage>) => {
      if (hasEnded(call)) {
        call.request.fill(0)
        return
      }
      const isRefused = limit === 'limited' && this.#inFlight >= this.#options.maxInFlight
      this.#answer(isRefused ? refused : served, call, reply)
    }
  }

  #refuse(): never {
    const { maxInFlight, limitSetting = 'kms.maxCallsInFlight' } = this.#options
    const setting = limitSetting === '' ? '' : ` (${limitSetting})`
    throw new BridgeError(
      'OVERLOADED',
      `${String(maxInFlight)} calls are in progress already${setting}`,
    )
  }

  /** Answers at once if the handler does: promises would take more time than the handler. */
  #answer<I extends DescMessage, O extends DescMessage>(
    served: ServedMethod<I, O>,
    call: Call,
    reply: sendUnaryData<SentMessage>,
  ): void {
    const startedAt = this.#options.clock.monotonic()
    const open = { startedAt, reply, facts: { method: served.method.name, vaultRequests: 0 } }
    this.#inFlight += 1
    try {
      const message = this.#run(served, call, open.facts)
      if (message instanceof Promise) void this.#answerLater(open, message)
      else this.#succeed(open, message)
    } catch (thrown) {
      this.#fail(open, thrown)
    }
  }

  async #answerLater(open: OpenCall, message: Promise<SentMessage>): Promise<void> {
    try {
      this.#succeed(open, await message)
    } catch (thrown) {
      this.#fail(open, thrown)
    }
  }

  #succeed({ facts, startedAt, reply }: OpenCall, message: SentMessage): void {
    reply(null, message)
    this.#report(facts, startedAt, status.OK)
    this.#inFlight -= 1
  }

  #fail({ facts, startedAt, reply }: OpenCall, thrown: unknown): void {
    const error = BridgeError.from(thrown)
    const code = (this.#options.toStatus ?? toGrpcStatus)(error.code)
    reply({ code, details: toDetails(error.message), metadata: new Metadata() })
    this.#report(facts, startedAt, code, error)
    this.#inFlight -= 1
  }

  #run<I extends DescMessage, O extends DescMessage>(
    served: ServedMethod<I, O>,
    call: Call,
    facts: UnaryCallFacts,
  ): SentMessage | Promise<SentMessage> {
    this.#requireSize(call.request)
    const request = decode(served.method.input, call.request, served.ignored)
    let isPending = false
    try {
      const abort = new AbortController()
      const times = divideTime(call.getDeadline(), this.#options.clock)
      const context = this.#contextOf(times.deadline, request, facts, abort.signal)
      const answer = served.handle(request, context)
      if (!(answer instanceof Promise)) return this.#encode(served, call, request, answer)
      isPending = true
      const inTime = this.#inTime(answer, times.answerAfterMs, call, abort)
      return this.#encodeLater(served, call, request, inTime)
    } finally {
      if (!isPending) wipe(request)
    }
  }

  async #encodeLater<I extends DescMessage, O extends DescMessage>(
    served: ServedMethod<I, O>,
    call: Call,
    request: MessageShape<I>,
    answer: Promise<Fields<O>>,
  ): Promise<SentMessage> {
    try {
      return this.#encode(served, call, request, await answer)
    } finally {
      wipe(request)
    }
  }

  /** From here on, the message is counted and zeroed when the call has ended. */
  #encode<I extends DescMessage, O extends DescMessage>(
    { method, limit, onUnsent }: ServedMethod<I, O>,
    call: Call,
    request: MessageShape<I>,
    fields: Fields<O>,
  ): SentMessage {
    const message = encode(method.output, fields)
    try {
      if (limit === 'limited') this.#unread.count(call, message)
      else if (message instanceof SecretMessage) message.zeroAfter(call)
      return message
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      onUnsent?.(request, error)
      throw error
    }
  }

  #requireSize(request: Buffer): void {
    const { maxRequestBytes = Infinity, refuseLarge } = this.#options
    if (request.byteLength <= maxRequestBytes) return
    const message = `the request has ${String(request.byteLength)} bytes, more than ${String(maxRequestBytes)}`
    throw refuseLarge?.(request) ?? new BridgeError('REQUEST_INVALID', message)
  }

  /**
   * Returns the answer, or throws if it takes too long. The work is then aborted, and any later result is zeroed. The work is
   * also aborted when the caller disconnects.
   */
  async #inTime<T extends object>(
    answer: Promise<T>,
    limitMs: number,
    call: Call,
    abort: AbortController,
  ): Promise<T> {
    const onCancel = () => abort.abort(CALLER_GONE)
    call.on('cancelled', onCancel)
    let isLate = false
    const { promise: late, reject } = Promise.withResolvers<never>()
    const cancelTimer = this.#options.clock.after(limitMs, () => {
      isLate = true
      abort.abort(OUT_OF_TIME)
      const message = "the call was not finished before the caller's deadline"
      reject(new BridgeError('DEADLINE_EXCEEDED', message))
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      // grpc-js emits "cancelled" at the end of every call, also of one that was answered.
      call.off('cancelled', onCancel)
      cancelTimer()
      if (isLate) answer.then(wipe, () => undefined)
    }
  }

  #contextOf(
    deadline: number,
    request: object,
    facts: UnaryCallFacts,
    signal: AbortSignal,
  ): CallContext {
    const uid = 'uid' in request ? request.uid : undefined
    if (typeof uid !== 'string' || uid === '') return { deadline, signal }
    facts.uid = uid.slice(0, 128)
    let late = 0
    const onVaultRequest = () => {
      if (facts.code === undefined) facts.vaultRequests += 1
      else this.#reportLate(facts, (late += 1))
    }
    return { deadline, signal, uid: facts.uid, onVaultRequest }
  }

  /** Other calls wait for the same batch, which continues after this call ended; `audit` expects one more request. */
  #reportLate({ method, code, uid }: UnaryCallFacts, late: number): void {
    const line = { [logKey.method]: method, [logKey.code]: code, [logKey.uid]: uid }
    const counts = { [logKey.vaultRequests]: 1, [logKey.lateRequest]: late }
    this.#options.log.debug({ ...line, ...counts }, 'request to Vault after the call ended')
  }

  #report(facts: UnaryCallFacts, startedAt: number, code: status, error?: BridgeError): void {
    const { clock, log, onCall } = this.#options
    facts.code = status[code]
    const milliseconds = clock.monotonic() - startedAt
    onCall(facts.method, status[code], milliseconds / 1000)
    const isBug = error?.code === 'INTERNAL'
    if (!isBug && !log.isLevelEnabled('debug')) return
    const line = {
      [logKey.method]: facts.method,
      [logKey.code]: status[code],
      [logKey.durationMs]: Math.round(milliseconds * 1000) / 1000,
      [logKey.uid]: facts.uid,
      [logKey.vaultRequests]: facts.uid === undefined ? undefined : facts.vaultRequests,
    }
    if (error === undefined) log.debug(line, 'call answered')
    else if (isBug)
      log.error({ ...line, err: error }, 'call failed because of an error in this program')
    else log.debug({ ...line, [logKey.reason]: error.code }, `call refused: ${error.message}`)
  }
}
