import { Pool } from 'undici'
import type { Clock } from '../../time/clock.ts'
import type { Address } from './addresses/address-book.ts'
import type { RawAnswer } from './answer.ts'
import { AttemptFailure, type Attempt } from './attempt.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { createConnector } from '../tls/connector.ts'
import { Exchange, cancelled, closed, timeIsUp } from './exchange.ts'
import { NameLookup } from './addresses/name-lookup.ts'
import { encodeBody } from './request-body.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'

/** Well below the 5 minutes after which Vault closes an idle connection (http_idle_timeout). */
const KEEP_ALIVE_MS = 60_000
/** Decrypts are batched, so only a few are usually open; this bounds a burst of other requests. */
const MAX_CONNECTIONS = 64

export interface TransportOptions {
  /** The longest time to establish a connection. */
  readonly timeoutMs: number
  /** The name that the certificate must contain. Default: the host of the address. */
  readonly serverName?: string | undefined
  readonly tls: TlsMaterial | undefined
  readonly clock: Clock
}

/** An HTTP message, with the path as it stands in the request line. */
export interface Message {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: object | undefined
}

/** Connections to one address, kept alive. undici's Pool takes no proxy from the environment. */
export class Transport {
  readonly address: Address
  readonly #options: TransportOptions
  readonly #names = new NameLookup()
  #pool: Pool | undefined
  #tlsVersion = 0
  #closed = false
  #answeredAt = Number.NEGATIVE_INFINITY

  constructor(address: Address, options: TransportOptions) {
    this.address = address
    this.#options = options
  }

  /** Sends a message once. It does not follow redirects. */
  exchange(attempt: Attempt, message: Message): Promise<RawAnswer | AttemptFailure> {
    if (this.#closed) return Promise.resolve(closed())
    const { clock } = this.#options
    const startedAt = clock.monotonic()
    const leftMs = attempt.endsAt - startedAt
    if (attempt.context.signal?.aborted === true) return Promise.resolve(cancelled())
    if (leftMs <= 0) return Promise.resolve(timeIsUp(attempt, this.address.text))

    const pool = this.#currentPool()
    const body = encodeBody(message.body)
    return new Promise((resolve) => {
      const settle = (result: RawAnswer | AttemptFailure) => {
        body.wipe()
        this.#note(pool, result, startedAt)
        resolve(result)
      }
      const exchange = new Exchange(attempt, this.address.text, clock, leftMs, settle, this.#names)
      pool.dispatch(
        {
          method: message.method,
          path: message.path,
          headers: message.headers,
          body: body.content,
        },
        exchange,
      )
    })
  }

  /** Lets current requests finish, then closes all connections. */
  async close(): Promise<void> {
    this.#closed = true
    const pool = this.#pool
    this.#pool = undefined
    await pool?.close()
  }

  #currentPool(): Pool {
    const version = this.#options.tls?.version ?? 0
    if (this.#pool !== undefined && version === this.#tlsVersion) return this.#pool
    this.#tlsVersion = version
    return this.#renew()
  }

  /**
   * Opens new connections when the old ones seem dead: one was reset, or one stayed silent while no other one was
   * answered. A load balancer that drops its state leaves all connections like that at once.
   */
  #note(pool: Pool, result: RawAnswer | AttemptFailure, startedAt: number): void {
    if (!(result instanceof AttemptFailure)) {
      this.#answeredAt = this.#options.clock.monotonic()
      return
    }
    if (pool !== this.#pool) return
    const { code } = result.error
    const silent = code === 'VAULT_TIMEOUT' || code === 'DEADLINE_EXCEEDED'
    if (result.retry === 'at-once' || (silent && this.#answeredAt < startedAt)) this.#renew()
  }

  #renew(): Pool {
    const old = this.#pool
    this.#pool = this.#open()
    void old?.close()
    return this.#pool
  }

  #open(): Pool {
    const { timeoutMs, serverName, tls } = this.#options
    return new Pool(this.address.origin, {
      connections: MAX_CONNECTIONS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      allowH2: false,
      factory: (origin, pooled) => new Connection(origin, pooled as ConnectionOptions),
      // The Exchange has one timer for the whole exchange.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: createConnector({
        timeoutMs,
        serverName,
        contents: tls?.contents,
        lookup: this.#names.lookup,
      }),
    })
  }
}
