import type { LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import type { TlsContents } from './tls-files.ts'

export interface ConnectorOptions {
  /** The longest time to establish a connection, including the handshake. */
  readonly timeoutMs: number
  /** The name that the certificate must contain, also sent as SNI. Default: the host of the address. */
  readonly serverName: string | undefined
  readonly contents: TlsContents | undefined
  readonly lookup: LookupFunction
}

/**
 * Opens connections with certificate checks set explicitly, so that NODE_TLS_REJECT_UNAUTHORIZED cannot disable them.
 *
 * A server that refuses our certificate in TLS 1.3 says so only after the handshake (RFC 8446 §4.4.2.4): an alert, then the
 * end of the connection. undici 8 reports the end, "other side closed", so the socket is destroyed with the alert first.
 */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  const connect = buildConnector({
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    // HTTP/2 would send all requests over one connection, where one lost packet delays all of them.
    allowH2: false,
    // A resumed session skips the check of the certificate (RFC 8446 §2.2). Without one, each connection shows what a restart of this
    // program would show: a certificate that has expired, or that an unknown authority signed.
    maxCachedSessions: 0,
    timeout: options.timeoutMs,
    servername: options.serverName,
    lookup: options.lookup,
    ...options.contents,
  })
  return (target, callback) =>
    connect(target, (error, socket) => {
      if (error !== null) return callback(error, null)
      socket.once('error', (fault) => socket.destroy(fault))
      return callback(null, socket)
    })
}
