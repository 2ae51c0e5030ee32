import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
} from 'node:http2'
import { connect } from 'node:net'

/** The status of a call, as gRPC over HTTP/2 writes it. */
export interface CallOutcome {
  /** Undefined if the stream ended without one. */
  readonly status: number | undefined
  readonly message: string
  readonly httpStatus: number | undefined
}

/** Makes gRPC calls with any bytes and any headers over one connection. */
export class CallClient {
  readonly #socket: string
  #session: ClientHttp2Session | undefined

  constructor(socket: string) {
    this.#socket = socket
  }

  call(path: string, body: Buffer, headers: IncomingHttpHeaders): Promise<CallOutcome> {
    const session = this.#connect()
    return new Promise((resolve) => {
      let outcome: CallOutcome = { status: undefined, message: '', httpStatus: undefined }
      const read = (received: IncomingHttpHeaders) => {
        const { ':status': httpStatus, 'grpc-status': status, 'grpc-message': message } = received
        outcome = {
          status: status === undefined ? outcome.status : Number(status),
          message: message === undefined ? outcome.message : decodeURIComponent(String(message)),
          httpStatus: httpStatus === undefined ? outcome.httpStatus : Number(httpStatus),
        }
      }
      try {
        const stream = session.request({
          ':method': 'POST',
          ':path': path,
          'content-type': 'application/grpc',
          te: 'trailers',
          ...headers,
        })
        stream.on('response', read)
        stream.on('trailers', read)
        stream.on('error', () => undefined)
        stream.on('close', () => resolve(outcome))
        stream.resume()
        stream.end(body)
      } catch {
        // Node.js itself refuses to send such headers.
        resolve(outcome)
      }
    })
  }

  close(): void {
    this.#session?.destroy()
  }

  #connect(): ClientHttp2Session {
    const known = this.#session
    if (known !== undefined && !known.closed && !known.destroyed) return known
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(this.#socket),
    })
    session.on('error', () => undefined)
    this.#session = session
    return session
  }
}
