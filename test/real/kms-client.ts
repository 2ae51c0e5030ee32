import { randomUUID } from 'node:crypto'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMethodUnary,
  DescMessage,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js'
import { KeyManagementService as V1 } from '../../src/gen/kms/v1beta1/api_pb.ts'
import { KeyManagementService as V2 } from '../../src/gen/kms/v2/api_pb.ts'

/** What kube-apiserver gives a call by default (apis/apiserver/v1/defaults.go). */
const DEFAULT_TIMEOUT = 3_000

export type CallOptions = {
  /** Milliseconds; it reaches the plugin as grpc-timeout. Default: 3000. */
  timeout?: number
}

/** A call that failed, as kube-apiserver would count it. */
export class KmsCallError extends Error {
  readonly code: string
  constructor(error: ServiceError) {
    super(error.details)
    this.code = status[error.code]
  }
}

export type WrappedSeed = {
  ciphertext: Uint8Array
  keyId: string
  annotations: Record<string, Uint8Array>
}

/** Speaks to a plugin as kube-apiserver does: KMS v2 and v1beta1 over its unix socket. */
export class KmsClient {
  readonly #client: Client

  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': 'localhost',
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      // Each client its own connection: channels to one target are shared otherwise.
      'grpc.use_local_subchannel_pool': 1,
    })
  }

  status(options: CallOptions = {}) {
    return this.#call(V2.method.status, {}, V2.typeName, options)
  }

  encrypt(plaintext: Uint8Array, options: CallOptions & { uid?: string } = {}) {
    const uid = options.uid ?? randomUUID()
    return this.#call(V2.method.encrypt, { plaintext, uid }, V2.typeName, options)
  }

  async decrypt(seed: WrappedSeed, options: CallOptions & { uid?: string } = {}): Promise<Buffer> {
    const { ciphertext, keyId, annotations } = seed
    const request = { ciphertext, keyId, annotations, uid: options.uid ?? randomUUID() }
    const answer = await this.#call(V2.method.decrypt, request, V2.typeName, options)
    return Buffer.from(answer.plaintext)
  }

  versionV1(options: CallOptions = {}) {
    return this.#call(V1.method.version, { version: 'v1beta1' }, V1.typeName, options)
  }

  async encryptV1(plain: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const request = { version: 'v1beta1', plain }
    return (await this.#call(V1.method.encrypt, request, V1.typeName, options)).cipher
  }

  async decryptV1(cipher: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    const request = { version: 'v1beta1', cipher }
    const answer = await this.#call(V1.method.decrypt, request, V1.typeName, options)
    return Buffer.from(answer.plain)
  }

  /** Sends bytes that need be no message of the method; resolves with the bytes of the answer. */
  send(path: string, request: Buffer, { timeout = DEFAULT_TIMEOUT }: CallOptions = {}) {
    return new Promise<Buffer>((resolve, reject) => {
      const deadline = Date.now() + timeout
      const pass = (bytes: Buffer) => bytes
      this.#client.makeUnaryRequest(path, pass, pass, request, { deadline }, (error, answer) => {
        if (error !== null) reject(new KmsCallError(error))
        else resolve(answer ?? Buffer.alloc(0))
      })
    })
  }

  close(): void {
    this.#client.close()
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    service: string,
    options: CallOptions,
  ): Promise<MessageShape<O>> {
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
    return fromBinary(method.output, await this.send(`/${service}/${method.name}`, bytes, options))
  }
}
