import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

import { PacedConnection } from './paced-connection.ts'

/**
 * Allows one request at a time on a connection. No client of Vault sends a request before it has the response to the one before
 * it, and a server may close the connection instead of answering (RFC 9112, section 9.3.2). Otherwise one
 * connection could have thousands of requests in progress.
 */
export class RequestTurns {
  readonly #current = new WeakMap<Duplex, ServerResponse>()
  readonly #ending = new WeakSet<Duplex>()

  /** Returns whether the request may be answered. Otherwise the connection closes after the response to the one before it. */
  begin(connection: Duplex, response: ServerResponse): boolean {
    if (this.endAfterCurrent(connection)) return false
    this.#current.set(connection, response)
    response.once('finish', () => this.#current.delete(connection))
    return true
  }

  /** Closes the connection after the response to its current request. Returns false if it has none. */
  endAfterCurrent(connection: Duplex): boolean {
    if (this.#ending.has(connection)) return true
    const current = this.#current.get(connection)
    if (current === undefined) return false
    this.#ending.add(connection)
    if (connection instanceof PacedConnection) connection.stopReading()
    if (!current.headersSent) current.setHeader('Connection', 'close')
    current.once('finish', () => connection.end(() => connection.destroy()))
    return true
  }
}
