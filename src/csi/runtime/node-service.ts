import type { MessageShape } from '@bufbuild/protobuf'
import type { CallContext } from '../../call-context.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import type {
  NodePublishVolumeRequestSchema,
  NodeUnpublishVolumeRequestSchema,
} from '../../gen/csi/v1/csi_pb.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { Clock } from '../../time/clock.ts'
import { placeOf, type EnginePlace } from '../engine-place.ts'
import type { AccessRules } from '../identity/access-rules.ts'
import { requirePodToken, type CsiDriver } from '../identity/pod-token.ts'
import type { SessionCache } from '../identity/session-cache.ts'
import { namePod } from '../mount-request.ts'
import {
  readPublishRequest,
  readTargetPath,
  readVolumeId,
  type PublishRequest,
  type RuntimeVolume,
} from './publish-request.ts'
import type { RuntimeVolumes } from './runtime-volumes.ts'

/** For the login at the first publish; the kubelet waits for 2 minutes (pkg/volume/csi/csi_plugin.go, csiTimeout). */
const LOGIN_TIMEOUT_MS = 10_000

export interface NodeServiceOptions {
  readonly driverName: string
  /** csi.audience */
  readonly audience: string
  readonly home: EnginePlace
  readonly rules: AccessRules
  readonly sessions: SessionCache
  readonly volumes: RuntimeVolumes
  readonly clock: Clock
  readonly log: Logger
}

/** Serves the kubelet's calls for volumes. */
export class NodeService {
  readonly #options: NodeServiceOptions

  constructor(options: NodeServiceOptions) {
    this.#options = options
  }

  /**
   * Serves the socket of a volume. The first call fails if the pod could never use it: no rule, or a refused login. It succeeds
   * during an outage. A republish only provides a new token and never fails, because the kubelet would then remove a volume
   * that is in use (kubernetes/kubernetes#121271).
   */
  async publish(request: MessageShape<typeof NodePublishVolumeRequestSchema>): Promise<void> {
    const parsed = readPublishRequest(request)
    const { volume } = parsed
    const isFirst = !this.#options.volumes.has(volume.id)
    try {
      await this.#publish(parsed, isFirst)
    } catch (thrown) {
      if (isFirst) throw thrown
      this.#reportRepublish(volume, BridgeError.from(thrown))
    }
  }

  /** Removes the socket of a volume. It succeeds if the volume is unknown. */
  async unpublish(request: MessageShape<typeof NodeUnpublishVolumeRequestSchema>): Promise<void> {
    const id = readVolumeId(request.volumeId)
    await this.#options.volumes.unpublish(id, readTargetPath(request.targetPath))
  }

  /** Checks a token as the kubelet sends it: the JSON of tokens by audience. */
  requireToken({ volume, tokens }: PublishRequest): ServiceAccountToken {
    const { audience, driverName } = this.#options
    const driver: CsiDriver = { name: driverName, advice: '' }
    const token = requirePodToken({ pod: volume.pod, tokens }, audience, driver)
    if (token.claims.pod !== undefined) return token
    throw new BridgeError(
      'POD_TOKEN_INVALID',
      `the service-account token of pod ${namePod(volume.pod)} is not bound to a pod, so it is not from the kubelet`,
    )
  }

  async #publish(parsed: PublishRequest, isFirst: boolean): Promise<void> {
    const { rules, volumes, home } = this.#options
    const { volume } = parsed
    const token = this.requireToken(parsed)
    if (isFirst) {
      const { vaultNamespace } = placeOf(volume, home)
      rules.requireAnyOperation(volume.pod, volume.role, vaultNamespace)
      await this.#tryLogin(volume, token)
    }
    await volumes.publish(volume, token)
  }

  async #tryLogin({ role, vaultNamespace, pod }: RuntimeVolume, token: ServiceAccountToken) {
    const { sessions, clock, log, home } = this.#options
    const place = placeOf({ vaultNamespace }, home)
    const session = sessions.open(token, role, place.vaultNamespace)
    const context: CallContext = { deadline: clock.monotonic() + LOGIN_TIMEOUT_MS }
    try {
      await session.use(() => session.requester.ready(context))
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (!isOutage(error) && error.code !== 'DEADLINE_EXCEEDED') throw error
      log.warn(
        { [logKey.namespace]: pod.namespace, [logKey.code]: error.code },
        `pod ${namePod(pod)} starts although Vault cannot answer; its requests fail until Vault can: ${error.message}`,
      )
    }
  }

  #reportRepublish({ pod }: RuntimeVolume, error: BridgeError): void {
    this.#options.log.error(
      { [logKey.namespace]: pod.namespace, [logKey.code]: error.code },
      `the socket of pod ${namePod(pod)} keeps its old token, because the kubelet's call failed: ${error.message}`,
    )
  }
}
