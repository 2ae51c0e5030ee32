import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMethodUnary,
  DescMessage,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js'

export type CallOptions = {
  /** Milliseconds; it reaches the server as grpc-timeout. */
  timeout?: number
  /** Cancels the call. */
  signal?: AbortSignal
}

/** A call that failed, with the name of its status and the server's words. */
export class CallError extends Error {
  readonly code: string
  constructor(error: ServiceError) {
    super(error.details)
    this.code = status[error.code]
  }
}

/** Makes gRPC calls over a unix socket, as the programs do that are written in Go. */
export class GrpcClient {
  readonly #client: Client
  readonly #timeout: number

  /**
   * @param timeout of a call that names none, in milliseconds
   * @param authority value of the pseudo-header :authority
   */
  constructor(socket: string, timeout: number, authority = 'localhost') {
    this.#timeout = timeout
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': authority,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.max_receive_message_length': -1,
      // Each client its own connection: channels to one target are shared otherwise.
      'grpc.use_local_subchannel_pool': 1,
    })
  }

  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
    const path = `/${method.parent.typeName}/${method.name}`
    return fromBinary(method.output, await this.send(path, bytes, options))
  }

  /** Sends bytes that need not be a message of the method; resolves with the bytes of the answer. */
  send(path: string, request: Buffer, options: CallOptions = {}): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      const deadline = Date.now() + (options.timeout ?? this.#timeout)
      const pass = (bytes: Buffer) => bytes
      const end = (error: ServiceError | null, answer?: Buffer) => {
        if (error !== null) reject(new CallError(error))
        else resolve(answer ?? Buffer.alloc(0))
      }
      const call = this.#client.makeUnaryRequest(path, pass, pass, request, { deadline }, end)
      options.signal?.addEventListener('abort', () => call.cancel(), { once: true })
    })
  }

  close(): void {
    this.#client.close()
  }
}
