import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { CsiConfig, ProviderTransitConfig } from '../config/config.ts'
import type { GrpcService } from '../grpc/service.ts'
import { UnaryFunnel } from '../grpc/unary.ts'
import { UnreadResponses } from '../grpc/unread-responses.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CsiMetrics } from '../telemetry/metrics/roles.ts'
import type { VaultRequester } from '../vault/client/request.ts'
import type { EnginePlace } from './engine-place.ts'
import { createAccessRules, homeOf, type AccessRules } from './identity/access-rules.ts'
import { openPodSession } from './identity/pod-login.ts'
import { ContentCache } from './volume/content-cache.ts'
import { serveCsiProvider } from './grpc.ts'
import { KeyCache } from './volume/key-cache.ts'
import { MountService } from './mount-service.ts'
import { toMountStatus } from './mount-status.ts'
import { SessionCache } from './identity/session-cache.ts'
import { SharedMounts } from './shared-mounts.ts'
import { VolumeContent } from './volume/volume-content.ts'
import { VolumeLedger } from './volume/volume-ledger.ts'

/** The only caller is the driver, which mounts as many volumes at once as the kubelet starts pods. Not configurable. */
const MAX_MOUNTS_IN_FLIGHT = 512
/** A class may have 256 KiB of objects, which are longer as JSON, and a request contains the pod's tokens twice. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024
/** A response may have 1 MiB. The driver reads each one at once. */
const MAX_UNREAD_BYTES = 32 * 1024 * 1024

export interface CsiProviderOptions {
  readonly csi: CsiConfig
  /** The KMS plugin's key, if configured. Only a rule with its exact name allows it. */
  readonly transit: ProviderTransitConfig
  /** Vault namespace of classes and rules that name none, and of the KMS plugin's key (vault.namespace). */
  readonly vaultNamespace?: string | undefined
  /** Sends requests to Vault; each pod logs in with its own identity. */
  readonly client: VaultRequester
  /** Reported by the Version call. */
  readonly programVersion: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: CsiMetrics
}

/** The CSI provider without its socket. */
export interface CsiProvider {
  readonly services: readonly GrpcService[]
  readonly service: MountService
  readonly ledger: VolumeLedger
  readonly sessions: SessionCache
  readonly rules: AccessRules
  readonly home: EnginePlace
  /** Calls of the CSI driver that are being answered. */
  readonly callsInFlight: number
  /** Zeroes cached content and revokes the pods' Vault tokens, as far as the deadline allows. */
  stop(context: CallContext): Promise<void>
}

/** Creates the provider. It sends no request to Vault before the first Mount. */
export function createCsiProvider(options: CsiProviderOptions): CsiProvider {
  const { csi, clock, metrics, log } = options
  const sessions = new SessionCache({
    open: (token, role, vaultNamespace) => openPodSession(token, role, vaultNamespace, options),
    clock,
    onSize: (size) => metrics.csiSessions.set(size),
  })
  const { refreshIntervalMs, revalidateAfterMs } = csi
  const contents = new ContentCache({ maxAgeMs: revalidateAfterMs, clock })
  const keys = new KeyCache({ refreshIntervalMs, revalidateAfterMs, clock })
  const ledger = new VolumeLedger(clock, log)
  const home = homeOf(options)
  const rules = createAccessRules(options)
  const unread = new UnreadResponses({ maxBytes: MAX_UNREAD_BYTES, clock, log })
  const service = new MountService({
    audience: csi.audience,
    home,
    rules,
    sessions,
    content: new VolumeContent({ keys, contents, clock }),
    shared: new SharedMounts(clock),
    ledger,
    responses: unread,
    clock,
    metrics,
  })
  const funnel = createFunnel(options, service, unread)
  return {
    services: [serveCsiProvider(service, funnel, options.programVersion)],
    service,
    get callsInFlight() {
      return funnel.callsInFlight
    },
    ledger,
    sessions,
    rules,
    home,
    async stop(context) {
      contents.clear()
      await sessions.stop(context)
    },
  }
}

function createFunnel(
  { clock, log, metrics }: CsiProviderOptions,
  service: MountService,
  unread: UnreadResponses,
): UnaryFunnel {
  return new UnaryFunnel({
    clock,
    log,
    onCall: (method, code, seconds) => {
      if (method === 'Mount') metrics.csiMountDuration.observe({ code }, seconds)
    },
    maxInFlight: MAX_MOUNTS_IN_FLIGHT,
    maxRequestBytes: MAX_REQUEST_BYTES,
    refuseLarge: (request) => service.refuseLarge(request),
    unread,
    limitSetting: '',
    toStatus: toMountStatus,
  })
}
