import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMethodUnary,
  DescMessage,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { sendUnaryData, ServerUnaryCall, UntypedHandleCall } from '@grpc/grpc-js'
import { KeyManagementService } from '../../../src/gen/kms/v2/api_pb.ts'
import { defineService } from '../../../src/grpc/service.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'

/**
 * A stand-in for github.com/FalcoSuessgott/vault-kubernetes-kms, which is no part of this project: it answers
 * KMS v2 as that program's pkg/plugin/plugin_v2.go does, by the same requests to the same real Transit. What
 * an API server stores through it is what it stores through that program: Transit's ciphertext as it is, the
 * bare version of the key as key id, no annotations, no additional data.
 */
export class VaultKubernetesKms {
  readonly #bao: OpenBao
  readonly #server = new Server()

  static async serve(bao: OpenBao, socket: string): Promise<VaultKubernetesKms> {
    const plugin = new VaultKubernetesKms(bao)
    await plugin.#listen(socket)
    return plugin
  }

  private constructor(bao: OpenBao) {
    this.#bao = bao
  }

  stop(): void {
    this.#server.forceShutdown()
  }

  async #listen(socket: string): Promise<void> {
    const { method } = KeyManagementService
    this.#server.addService(defineService(KeyManagementService), {
      Status: unary(method.status, async () => ({
        version: 'v2',
        healthz: 'ok',
        keyId: await this.#latestVersion(),
      })),
      Encrypt: unary(method.encrypt, async ({ plaintext }) => {
        const answer = await this.#bao.api('POST', `transit/encrypt/${KEY}`, {
          plaintext: Buffer.from(plaintext).toString('base64'),
        })
        return {
          ciphertext: Buffer.from(String(answer.data.ciphertext)),
          keyId: await this.#latestVersion(),
        }
      }),
      Decrypt: unary(method.decrypt, async ({ ciphertext }) => {
        const answer = await this.#bao.api('POST', `transit/decrypt/${KEY}`, {
          ciphertext: Buffer.from(ciphertext).toString('latin1'),
        })
        return { plaintext: Buffer.from(String(answer.data.plaintext), 'base64') }
      }),
    })
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  async #latestVersion(): Promise<string> {
    const answer = await this.#bao.api('GET', `transit/keys/${KEY}`)
    return String(answer.data.latest_version)
  }
}

function unary<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  answer: (request: MessageShape<I>) => Promise<MessageInitShape<O>>,
): UntypedHandleCall {
  return (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
    answer(fromBinary(method.input, call.request)).then(
      (fields) => {
        reply(null, Buffer.from(toBinary(method.output, create(method.output, fields))))
      },
      (error: unknown) => {
        reply(error instanceof Error ? error : new Error(String(error)))
      },
    )
  }
}
