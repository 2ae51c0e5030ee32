import { BridgeError } from '../../errors.ts'
import { keepServing, type SocketKeeper } from '../../grpc/socket-keeper.ts'
import { serveSocket } from '../../grpc/unix-socket.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { Clock } from '../../time/clock.ts'
import { namePod } from '../mount-request.ts'
import type { PodIdentity } from './pod-api.ts'
import type { RuntimeVolume } from './publish-request.ts'
import { VolumeFolder } from './volume-folder.ts'
import type { VolumeRecords } from './volume-records.ts'
import type { VolumeServer } from './http/volume-server.ts'

/** The kubelet runs 110 pods by default, and few have such a volume. */
const MAX_VOLUMES = 1_000
/** Any user of the pod may connect: the socket itself identifies the pod. */
const SOCKET_MODE = 0o666

export interface RuntimeVolumesOptions {
  readonly records: VolumeRecords
  /** Creates the server of a volume; `identify` returns its identity at the time of a request. */
  readonly createServer: (identify: () => PodIdentity) => VolumeServer
  /** Checks the token of a record in the same way as one from the kubelet. Throws if it is not usable. */
  readonly readToken: (volume: RuntimeVolume, token: string) => ServiceAccountToken
  readonly clock: Clock
  readonly log: Logger
}

interface Served {
  /** Of this volume alone: no server ever gets the token of a later volume with the same id. */
  readonly identity: { readonly volume: RuntimeVolume; token: ServiceAccountToken | undefined }
  readonly folder: VolumeFolder
  readonly server: VolumeServer
  readonly keeper: SocketKeeper
}

/** The volumes of this node and their sockets. */
export class RuntimeVolumes {
  readonly #options: RuntimeVolumesOptions
  readonly #served = new Map<string, Served>()
  /** The last change of a volume; changes of one volume happen one after the other. */
  readonly #changes = new Map<string, Promise<unknown>>()

  #isStopping = false

  constructor(options: RuntimeVolumesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#served.size
  }

  get sizeWithoutToken(): number {
    return [...this.#served.values()].filter(({ identity }) => identity.token === undefined).length
  }

  /** Whether a volume is served, so that the kubelet's call is a republish. */
  has(volumeId: string): boolean {
    return this.#served.has(volumeId)
  }

  /** Serves the recorded volumes of pods that still exist. */
  async restore(): Promise<void> {
    const records = await this.#options.records.load()
    await Promise.all(records.map(({ volume, token }) => this.#restore(volume, token)))
  }

  /** Serves a volume, or updates the token of one that is served. */
  publish(volume: RuntimeVolume, token: ServiceAccountToken): Promise<void> {
    return this.#change(volume.id, async () => {
      const served = this.#served.get(volume.id)
      if (served !== undefined && isSame(served.identity.volume, volume)) {
        served.identity.token = token
      } else {
        if (served !== undefined) await this.#end(served)
        if (this.#served.size >= MAX_VOLUMES) {
          throw new BridgeError(
            'OVERLOADED',
            `this node already has ${String(MAX_VOLUMES)} volumes with sockets`,
          )
        }
        await this.#serve(volume, token)
      }
      await this.#options.records.save({ volume, token: token.token.reveal() })
    })
  }

  /** Removes a volume, or what is left of one that is not served. */
  unpublish(volumeId: string, targetPath: string): Promise<void> {
    return this.#change(volumeId, async () => {
      const served = this.#served.get(volumeId)
      if (served !== undefined) await this.#end(served)
      await (served?.folder ?? new VolumeFolder({ targetPath })).remove()
      await this.#options.records.remove(volumeId)
    })
  }

  /** Stops serving, after the changes that have begun. Folders and records stay for the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#changes.values())
    await Promise.all([...this.#served.values()].map((served) => this.#end(served)))
  }

  async #restore(volume: RuntimeVolume, text: string | undefined): Promise<void> {
    const { log, records } = this.#options
    if (!(await new VolumeFolder(volume).exists())) {
      await records.remove(volume.id)
      return
    }
    try {
      await this.#serve(volume, this.#readToken(volume, text))
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      log.error(
        { [logKey.code]: error.code, [logKey.namespace]: volume.pod.namespace },
        `the socket of pod ${namePod(volume.pod)} is not served again: ${error.message}`,
      )
    }
  }

  #readToken(volume: RuntimeVolume, text: string | undefined): ServiceAccountToken | undefined {
    if (text === undefined) return undefined
    try {
      return this.#options.readToken(volume, text)
    } catch {
      // The kubelet sends a new one soon.
      return undefined
    }
  }

  async #serve(volume: RuntimeVolume, token: ServiceAccountToken | undefined): Promise<void> {
    const { createServer, clock, log } = this.#options
    const folder = new VolumeFolder(volume)
    await folder.create()
    const identity = { volume, token }
    const server = createServer(() => identity)
    const serve = () =>
      serveSocket(folder.socket, { mode: SOCKET_MODE, anyLength: true }, (path) =>
        server.listen(path),
      )
    const served = await serve()
    const keeper = keepServing({ socket: folder.socket, served, serve, clock, log })
    this.#served.set(volume.id, { identity, folder, server, keeper })
  }

  async #end(served: Served): Promise<void> {
    const { identity } = served
    this.#served.delete(identity.volume.id)
    identity.token = undefined
    await served.keeper.release().catch(() => undefined)
    served.server.end()
  }

  #change(volumeId: string, work: () => Promise<void>): Promise<void> {
    const before = this.#changes.get(volumeId) ?? Promise.resolve()
    const change = before.then(() => {
      if (this.#isStopping) throw new BridgeError('CANCELLED', 'the driver is stopping')
      return work()
    })
    const settled = change.catch(() => undefined)
    this.#changes.set(volumeId, settled)
    void settled.then(() => {
      if (this.#changes.get(volumeId) === settled) this.#changes.delete(volumeId)
    })
    return change
  }
}

function isSame(one: RuntimeVolume, other: RuntimeVolume): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))
}

function sorted({ id, targetPath, pod, role, vaultNamespace }: RuntimeVolume): unknown[] {
  const { namespace, serviceAccount, name, uid } = pod
  return [id, targetPath, namespace, serviceAccount, name, uid, role, vaultNamespace]
}
