import { once } from 'node:events'
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect } from 'node:net'

/** What a call received: the name "unread" if its response waits for the client, otherwise its gRPC status. */
export type Received = 'unread' | number

/** A gRPC client that receives headers but allows the server to send no byte of a response (RFC 9113, section 5.2). */
export class UnreadingClient {
  readonly #session: ClientHttp2Session

  /** Resolves when the server has confirmed that it may send nothing. */
  static async connect(socket: string): Promise<UnreadingClient> {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(socket),
      settings: { initialWindowSize: 0 },
    })
    session.on('error', () => undefined)
    await once(session, 'localSettings')
    return new UnreadingClient(session)
  }

  private constructor(session: ClientHttp2Session) {
    this.#session = session
  }

  /** @param message encoded; resolves when the response begins */
  async call(path: string, message: Uint8Array): Promise<Received> {
    const headers = { ':method': 'POST', ':path': path }
    const stream = this.#session.request({
      ...headers,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    stream.on('error', () => undefined)
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([prefix, message]))
    const [response] = (await once(stream, 'response')) as [Record<string, string>]
    const status = response['grpc-status']
    return status === undefined ? 'unread' : Number(status)
  }

  close(): void {
    this.#session.destroy()
  }
}
