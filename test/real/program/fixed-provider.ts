import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { sendUnaryData, ServerUnaryCall, status } from '@grpc/grpc-js'
import {
  CSIDriverProvider,
  MountRequestSchema,
  MountResponseSchema,
  VersionResponseSchema,
  type MountRequest,
} from '../../../src/gen/csi/v1alpha1/service_pb.ts'

export type FixedContent = {
  files: { path: string; mode: number; text: string }[]
  versions: Record<string, string>
}

/**
 * A stand-in for the provider, to try the driver and the cluster around it: answers every Mount with the same
 * files. No test of transit-bridge itself uses it.
 */
export class FixedProvider {
  content: FixedContent
  /** Answer Mount with this error instead. */
  failure: { code: status; details: string } | undefined
  readonly requests: MountRequest[] = []
  readonly #server = new Server()

  static async start(socket: string, content: FixedContent): Promise<FixedProvider> {
    const provider = new FixedProvider(content)
    await new Promise<void>((resolve, reject) => {
      provider.#server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
    return provider
  }

  private constructor(content: FixedContent) {
    this.content = content
    const pass = (bytes: Buffer) => bytes
    const wire = { requestDeserialize: pass, requestSerialize: pass }
    const answers = { responseSerialize: pass, responseDeserialize: pass }
    const unary = { requestStream: false, responseStream: false, ...wire, ...answers }
    const { typeName } = CSIDriverProvider
    this.#server.addService(
      {
        version: { path: `/${typeName}/Version`, ...unary },
        mount: { path: `/${typeName}/Mount`, ...unary },
      },
      {
        version: (_call: Call, answer: Answer) => answer(null, versionAnswer()),
        mount: ({ request }: Call, answer: Answer) => {
          this.requests.push(fromBinary(MountRequestSchema, request))
          if (this.failure === undefined) answer(null, this.#mountAnswer())
          else answer(this.failure)
        },
      },
    )
  }

  /** The attributes of the last Mount. */
  get attributes(): Record<string, string> {
    return JSON.parse(this.requests.at(-1)?.attributes ?? '{}') as Record<string, string>
  }

  stop(): void {
    this.#server.forceShutdown()
  }

  #mountAnswer(): Buffer {
    const files = this.content.files.map(({ text, ...file }) => ({
      ...file,
      contents: Buffer.from(text),
    }))
    const objectVersion = Object.entries(this.content.versions).map(([id, version]) => ({
      id,
      version,
    }))
    const answer = create(MountResponseSchema, { files, objectVersion })
    return Buffer.from(toBinary(MountResponseSchema, answer))
  }
}

type Call = ServerUnaryCall<Buffer, Buffer>
type Answer = sendUnaryData<Buffer>

function versionAnswer(): Buffer {
  const answer = { version: 'v1alpha1', runtimeName: 'fixed', runtimeVersion: '0.0.0' }
  return Buffer.from(toBinary(VersionResponseSchema, create(VersionResponseSchema, answer)))
}
