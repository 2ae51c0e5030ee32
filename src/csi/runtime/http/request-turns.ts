import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

import { PacedConnection } from './paced-connection.ts'

interface Turn {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * Allows one request at a time on a connection, which could otherwise have thousands in progress. No client of Vault sends a
 * request before it has the response to the one before it, and a server may close the connection instead of answering (RFC 9112,
 * section 9.3.2).
 */
export class RequestTurns {
  readonly #current = new WeakMap<Duplex, Turn>()
  readonly #ending = new WeakSet<Duplex>()

  /** Returns whether the request may be answered. Otherwise the connection closes after the response to the one before it. */
  begin(request: IncomingMessage, response: ServerResponse): boolean {
    const connection: Duplex = request.socket
    if (this.endAfterCurrent(connection)) return false
    this.#current.set(connection, { request, response })
    response.once('finish', () => this.#current.delete(connection))
    return true
  }

  /** Whether a request on the connection has no response yet. */
  hasCurrent(connection: Duplex): boolean {
    return this.#current.has(connection)
  }

  /**
   * Closes the connection after the response to its current request. Returns false if it has none, or if the body of that one
   * has not arrived: it is then at fault itself.
   */
  endAfterCurrent(connection: Duplex): boolean {
    if (this.#ending.has(connection)) return true
    const current = this.#current.get(connection)
    if (current?.request.complete !== true) return false
    const { response } = current
    this.#ending.add(connection)
    if (connection instanceof PacedConnection) connection.stopReading()
    if (!response.headersSent) response.setHeader('Connection', 'close')
    response.once('finish', () => connection.end(() => connection.destroy()))
    return true
  }
}
