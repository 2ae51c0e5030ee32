import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { DescMethodUnary, DescMessage, Message, MessageShape } from '@bufbuild/protobuf'
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
import { SecretMessage, type SentMessage } from './sent-message.ts'
import { toGrpcStatus } from './status.ts'

/** All fields of a message and nothing else: an answer with a forgotten or misspelled field does not compile. */
export type Fields<M extends DescMessage> = Omit<MessageShape<M>, keyof Message>

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
  /** Called with the number of calls being answered whenever that changes. */
  readonly onInFlight: (calls: number) => void
  /** Maximum number of calls in progress; one more is refused with RESOURCE_EXHAUSTED. */
  readonly maxInFlight: number
  /** Larger requests are refused with REQUEST_INVALID. Default: only the limit of the server applies, in grpc-js. */
  readonly maxRequestBytes?: number | undefined
  /** The configuration key that sets maxInFlight; empty if there is none. Default: kms.maxCallsInFlight. */
  readonly limitSetting?: string | undefined
  /** Default: the table of status.ts. */
  readonly toStatus?: ((code: ErrorCode) => status) | undefined
}

/** Longest time of any call, including one without a deadline. */
const MAX_CALL_MS = 30_000
/**
 * Reserved from the caller's time, so that the answer arrives before the caller gives up: at its own deadline, a caller sees
 * only "Deadline Exceeded", without the reason. The work must end before the reserve begins. If it has not even failed by the
 * middle of the reserve, the call is answered without it.
 */
const ANSWER_SHARE = 0.1
/** Even a single answer takes some time. Of a very short deadline, half is reserved. */
const MIN_ANSWER_MS = 20
const MAX_ANSWER_MS = 100

/** Created once: an abort without a reason creates an exception with a stack for each call. */
const CALLER_GONE = new Error('the caller disconnected')
const OUT_OF_TIME = new Error('the deadline of the call has passed')

/** A call of grpc-js; request and answer pass through grpc-js as bytes. */
type Call = ServerUnaryCall<Buffer, SentMessage>

interface UnaryCallFacts {
  readonly method: string
  uid?: string
  vaultRequests: number
  /** Set when the call is reported. Requests for it after that have their own lines. */
  code?: string
}

interface CallTimes {
  /** When the work must be finished, by the monotonic clock. */
  readonly deadline: number
  /** Time until the call is answered even if the work is not finished. */
  readonly answerAfterMs: number
}

/**
 * Every unary call passes through here: limit, decoding, deadline, log line, metric, status of an error, and zeroing of what held
 * plaintext. So handlers have only a few lines.
 */
export class UnaryFunnel {
  readonly #options: UnaryFunnelOptions
  #inFlight = 0

  constructor(options: UnaryFunnelOptions) {
    this.#options = options
  }

  /**
   * Creates grpc-js's handler of one method. A method that answers from memory is "unlimited": a burst of calls of other methods
   * must not make it fail.
   */
  serve<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    handle: UnaryHandler<I, O>,
    limit: 'limited' | 'unlimited' = 'limited',
  ): UntypedHandleCall {
    return (call: Call, reply: sendUnaryData<SentMessage>) => {
      const isRefused = limit === 'limited' && this.#inFlight >= this.#options.maxInFlight
      const answer = isRefused ? () => this.#refuse() : handle
      void this.#answer(method, answer, call, reply)
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

  async #answer<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    handle: UnaryHandler<I, O>,
    call: Call,
    reply: sendUnaryData<SentMessage>,
  ): Promise<void> {
    const startedAt = this.#options.clock.monotonic()
    const facts: UnaryCallFacts = { method: method.name, vaultRequests: 0 }
    this.#options.onInFlight((this.#inFlight += 1))
    try {
      const message = await this.#run(method, handle, call, facts)
      if (message instanceof SecretMessage) message.zeroAfter(call)
      reply(null, message)
      this.#report(facts, startedAt, status.OK)
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      const code = (this.#options.toStatus ?? toGrpcStatus)(error.code)
      reply({ code, details: toDetails(error.message), metadata: new Metadata() })
      this.#report(facts, startedAt, code, error)
    } finally {
      this.#options.onInFlight((this.#inFlight -= 1))
    }
  }

  async #run<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    handle: UnaryHandler<I, O>,
    call: Call,
    facts: UnaryCallFacts,
  ): Promise<SentMessage> {
    this.#requireSize(call.request)
    const request = decode(method.input, call.request)
    const abort = new AbortController()
    try {
      const times = this.#timesOf(call)
      const context = this.#contextOf(times.deadline, request, facts, abort.signal)
      const answer = handle(request, context)
      const fields =
        answer instanceof Promise
          ? await this.#inTime(answer, times.answerAfterMs, call, abort)
          : answer
      return encode(method.output, fields)
    } finally {
      wipe(request)
    }
  }

  #requireSize({ byteLength }: Buffer): void {
    const { maxRequestBytes = Infinity } = this.#options
    if (byteLength <= maxRequestBytes) return
    throw new BridgeError(
      'REQUEST_INVALID',
      `the request has ${String(byteLength)} bytes, more than ${String(maxRequestBytes)}`,
    )
  }

  #timesOf(call: Call): CallTimes {
    const { clock } = this.#options
    const leftMs = Math.min(Number(call.getDeadline()) - clock.now(), MAX_CALL_MS)
    const shareMs = Math.max(leftMs * ANSWER_SHARE, MIN_ANSWER_MS)
    const reserveMs = Math.max(0, Math.min(shareMs, leftMs / 2, MAX_ANSWER_MS))
    const deadline = clock.monotonic() + leftMs - reserveMs
    return { deadline, answerAfterMs: Math.max(0, leftMs - reserveMs / 2) }
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

/** Maximum number of fields in a message, with each repetition counted. Messages of KMS v2 and CSI have a few dozen at most. */
const MAX_FIELDS = 1_000
/** A field has a tag and a value. */
const MIN_FIELD_BYTES = 2

/** A message of 4 MiB can have two million fields, which would take seconds and the whole memory to decode. */
function requireFewFields(bytes: Buffer): void {
  if (bytes.byteLength <= MAX_FIELDS * MIN_FIELD_BYTES) return
  const reader = new BinaryReader(bytes)
  for (let fields = 0; reader.pos < reader.len; fields += 1) {
    if (fields === MAX_FIELDS) throw new RangeError(`more than ${String(MAX_FIELDS)} fields`)
    const [field, type] = reader.tag()
    reader.skip(type, field)
  }
}

function decode<M extends DescMessage>(schema: M, bytes: Buffer): MessageShape<M> {
  try {
    requireFewFields(bytes)
    return fromBinary(schema, bytes, { readUnknownFields: false })
  } catch (cause) {
    throw new BridgeError('REQUEST_INVALID', 'the request is not a valid message of its method', {
      cause,
    })
  }
}

/**
 * Encodes an answer and zeroes its secrets. protobuf-es copies nested messages on its way, so it encodes zeros of the same
 * length, and the secrets then replace these zeros in the result. Decoding the result finds the zeros: its fields are views of
 * it.
 */
function encode<M extends DescMessage>(schema: M, fields: Fields<M>): SentMessage {
  const secrets = collectSecrets(fields, 'replace')
  try {
    const bytes = toBinary(schema, Object.assign(create(schema), fields))
    const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (secrets.length === 0) return message
    const places = collectSecrets(fromBinary(schema, bytes))
    for (const [index, secret] of secrets.entries()) places[index]?.set(secret)
    return new SecretMessage(message)
  } finally {
    for (const secret of secrets) secret.fill(0)
  }
}

/** The text of a status is sent in a header, and a peer closes the connection if the headers are too large. */
const MAX_DETAILS_LENGTH = 1_000

/** grpc-js percent-encodes the text of a status, and throws on half a surrogate pair where no caller can catch it. */
function toDetails(message: string): string {
  return message.slice(0, MAX_DETAILS_LENGTH).toWellFormed()
}

function wipe(message: object): void {
  for (const secret of collectSecrets(message)) secret.fill(0)
}

/** The fields that carry plaintext: `plaintext` of KMS v2, `plain` of v1beta1, `contents` of the files of CSI. */
const SECRET_FIELDS = ['plaintext', 'plain', 'contents']

/** The secrets of a message; zeros of the same length may replace them in it. */
function collectSecrets(message: object, then: 'keep' | 'replace' = 'keep'): Uint8Array[] {
  const fields = message as Record<string, unknown>
  const secrets: Uint8Array[] = []
  for (const name of SECRET_FIELDS) {
    const value = fields[name]
    if (!(value instanceof Uint8Array)) continue
    secrets.push(value)
    if (then === 'replace') fields[name] = new Uint8Array(value.length)
  }
  const { files } = fields
  if (!Array.isArray(files)) return secrets
  return [...secrets, ...(files as object[]).flatMap((file) => collectSecrets(file, then))]
}
