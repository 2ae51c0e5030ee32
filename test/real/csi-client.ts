import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js'
import { CSIDriverProvider } from '../../src/gen/csi/v1alpha1/service_pb.ts'

const DEFAULT_TIMEOUT = 30_000

/** A Mount that failed, as the driver and then `kubectl describe pod` show it. */
export class MountError extends Error {
  readonly code: string
  constructor(error: ServiceError) {
    super(error.details)
    this.code = status[error.code]
  }
}

export type MountedFile = { mode: number; contents: Buffer }

export type Mounted = {
  /** By path. */
  files: Map<string, MountedFile>
  /** By id. */
  versions: Map<string, string>
}

/** The two texts of a Mount, as the driver makes them. */
export type MountTexts = { attributes: string; secrets?: string }

/** Speaks to a provider as the Secrets Store CSI driver 1.6.0 does. */
export class CsiClient {
  readonly #client: Client

  constructor(socket: string, authority = 'localhost') {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': authority,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.use_local_subchannel_pool': 1,
    })
  }

  version() {
    return this.#call(CSIDriverProvider.method.version, { version: 'v1alpha1' })
  }

  async mount({ attributes, secrets = 'null' }: MountTexts): Promise<Mounted> {
    const answer = await this.#call(CSIDriverProvider.method.mount, {
      attributes,
      secrets,
      targetPath: '/var/lib/kubelet/pods/x/volumes/kubernetes.io~csi/v/mount',
      permission: '420',
    })
    return {
      files: new Map(
        answer.files.map(({ path, mode, contents }) => [
          path,
          { mode, contents: Buffer.from(contents) },
        ]),
      ),
      versions: new Map(answer.objectVersion.map(({ id, version }) => [id, version])),
    }
  }

  close(): void {
    this.#client.close()
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
    const path = `/${CSIDriverProvider.typeName}/${method.name}`
    const pass = (passed: Buffer) => passed
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEFAULT_TIMEOUT
      this.#client.makeUnaryRequest(path, pass, pass, bytes, { deadline }, (error, answer) => {
        if (error !== null) reject(new MountError(error))
        else resolve(fromBinary(method.output, answer ?? Buffer.alloc(0)))
      })
    })
  }
}
