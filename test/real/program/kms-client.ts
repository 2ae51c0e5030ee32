import { randomUUID } from 'node:crypto'
import { KeyManagementService as V1 } from '../../../src/gen/kms/v1beta1/api_pb.ts'
import { KeyManagementService as V2 } from '../../../src/gen/kms/v2/api_pb.ts'
import { GrpcClient, type CallOptions } from './grpc-client.ts'

export { CallError as KmsCallError } from './grpc-client.ts'
export type { CallOptions } from './grpc-client.ts'

/** What kube-apiserver gives a call by default (apis/apiserver/v1/defaults.go). */
const DEFAULT_TIMEOUT = 3_000

export type WrappedSeed = {
  ciphertext: Uint8Array
  keyId: string
  annotations: Record<string, Uint8Array>
}

/** Speaks to a plugin as kube-apiserver does: KMS v2 and v1beta1 over its unix socket. */
export class KmsClient {
  readonly #client: GrpcClient

  constructor(socket: string) {
    this.#client = new GrpcClient(socket, DEFAULT_TIMEOUT)
  }

  status(options: CallOptions = {}) {
    return this.#client.call(V2.method.status, {}, options)
  }

  encrypt(plaintext: Uint8Array, options: CallOptions & { uid?: string } = {}) {
    const uid = options.uid ?? randomUUID()
    return this.#client.call(V2.method.encrypt, { plaintext, uid }, options)
  }

  async decrypt(seed: WrappedSeed, options: CallOptions & { uid?: string } = {}): Promise<Buffer> {
    const { ciphertext, keyId, annotations } = seed
    const request = { ciphertext, keyId, annotations, uid: options.uid ?? randomUUID() }
    const answer = await this.#client.call(V2.method.decrypt, request, options)
    return Buffer.from(answer.plaintext)
  }

  versionV1(options: CallOptions = {}) {
    return this.#client.call(V1.method.version, { version: 'v1beta1' }, options)
  }

  async encryptV1(plain: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const request = { version: 'v1beta1', plain }
    return (await this.#client.call(V1.method.encrypt, request, options)).cipher
  }

  async decryptV1(cipher: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    const request = { version: 'v1beta1', cipher }
    const answer = await this.#client.call(V1.method.decrypt, request, options)
    return Buffer.from(answer.plain)
  }

  /** Sends bytes that need not be a message of the method; resolves with the bytes of the answer. */
  send(path: string, request: Buffer, options: CallOptions = {}): Promise<Buffer> {
    return this.#client.send(path, request, options)
  }

  close(): void {
    this.#client.close()
  }
}
