import { BridgeError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CancelTimer, Clock } from '../time/clock.ts'
import { connectionOf } from './http2-server.ts'
import { SecretMessage, type CallEnd, type SentMessage } from './sent-message.ts'

const REMIND_EVERY_MS = 60_000
/** Part of the bytes that may be unread before further large responses wait. */
const CALM_SHARE = 1 / 4
/** After this time without a response that was read, nothing waits: the clients do not read. */
const MAX_PAUSE_MS = 1_000

/** What one connection holds. */
interface UnreadBytes {
  bytes: number
}

export interface UnreadResponsesOptions {
  /** Of all connections together. */
  readonly maxBytes: number
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Bounds the bytes of responses that grpc-js holds because clients have not read them. A connection may never hold more than
 * what is still free. So a client that reads nothing holds at most half, and something is left for the next one. A response
 * beyond that becomes an error; no connection is closed, because the calls on it would fail with UNAVAILABLE (docs/design.md,
 * "Memory bounds").
 */
export class UnreadResponses {
  readonly #options: UnreadResponsesOptions
  readonly #byConnection = new WeakMap<object, UnreadBytes>()
  #bytes = 0
  /** Those that wait for their turn, oldest first. While there is one, a timer or an immediate is pending. */
  readonly #waiting: (() => void)[] = []
  /** An immediate is pending that starts the next one. */
  #isStarting = false
  #cancelTimer: CancelTimer = () => undefined
  #warnedAt = -Infinity

  constructor(options: UnreadResponsesOptions) {
    this.#options = options
  }

  /**
   * Resolves when clients have read most of the responses before, or when they do not read. A handler waits for it before it
   * creates a large response: many at once would exceed the bound, although the client reads.
   */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) this.#startNext()
    })
  }

  get #isCalm(): boolean {
    return this.#bytes < this.#options.maxBytes * CALM_SHARE
  }

  #startNext(): void {
    this.#cancelTimer()
    if (this.#waiting.length === 0 || this.#isStarting) return
    if (this.#isCalm) {
      this.#waiting.shift()?.()
      this.#isStarting = true
      // By then, the response of the first one is counted.
      setImmediate(() => {
        this.#isStarting = false
        this.#startNext()
      })
      return
    }
    this.#cancelTimer = this.#options.clock.after(MAX_PAUSE_MS, () => {
      for (const start of this.#waiting.splice(0)) start()
    })
  }

  /**
   * Counts a response until its call has ended, when all of it has been written to the socket, and then zeroes its plaintext.
   * Throws OVERLOADED if its connection would hold too much, and zeroes it at once.
   */
  count(call: CallEnd, message: SentMessage): void {
    if (call.cancelled) {
      zero(message)
      return
    }
    const { byteLength } = message
    const unread = this.#unreadOf(call)
    if (unread.bytes + byteLength > this.#options.maxBytes - this.#bytes - byteLength) {
      zero(message)
      throw this.#refuse()
    }
    unread.bytes += byteLength
    this.#bytes += byteLength
    // Emitted once for each call that had not ended when its handler was called.
    call.on('cancelled', () => {
      zero(message)
      unread.bytes -= byteLength
      this.#bytes -= byteLength
      if (this.#waiting.length > 0) this.#startNext()
    })
  }

  #unreadOf(call: CallEnd): UnreadBytes {
    const connection = connectionOf(call)
    const known = this.#byConnection.get(connection)
    if (known !== undefined) return known
    const unread = { bytes: 0 }
    this.#byConnection.set(connection, unread)
    return unread
  }

  #refuse(): BridgeError {
    const { maxBytes, clock, log } = this.#options
    const limit = `all clients of the socket together may leave ${String(maxBytes / 1024 / 1024)} MiB unread`
    if (clock.monotonic() - this.#warnedAt >= REMIND_EVERY_MS) {
      this.#warnedAt = clock.monotonic()
      log.warn(`a client does not read its responses, so it receives errors instead (${limit})`)
    }
    return new BridgeError('OVERLOADED', `the client has not read its earlier responses (${limit})`)
  }
}

function zero(message: SentMessage): void {
  if (message instanceof SecretMessage) message.zero()
}
