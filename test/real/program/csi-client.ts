import { CSIDriverProvider } from '../../../src/gen/csi/v1alpha1/service_pb.ts'
import { GrpcClient, type CallOptions } from './grpc-client.ts'

/** A deadline is a time of the clock, which tests of the provider in their own process move on by hours. */
const DEFAULT_TIMEOUT = 24 * 3_600_000

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
  readonly #client: GrpcClient

  constructor(socket: string, authority?: string) {
    this.#client = new GrpcClient(socket, DEFAULT_TIMEOUT, authority)
  }

  version(options: CallOptions = {}) {
    return this.#client.call(CSIDriverProvider.method.version, { version: 'v1alpha1' }, options)
  }

  /** Rejects with the CallError that the driver and then `kubectl describe pod` show. */
  async mount(
    { attributes, secrets = 'null' }: MountTexts,
    options: CallOptions = {},
  ): Promise<Mounted> {
    const request = {
      attributes,
      secrets,
      targetPath: '/var/lib/kubelet/pods/x/volumes/kubernetes.io~csi/v/mount',
      permission: '420',
    }
    const answer = await this.#client.call(CSIDriverProvider.method.mount, request, options)
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
}
