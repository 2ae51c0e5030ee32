import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { CsiConfig, ProviderTransitConfig } from '../config/config.ts'
import type { GrpcService } from '../grpc/service.ts'
import { UnaryFunnel } from '../grpc/unary.ts'
import type { ServiceAccountToken } from '../identity/service-account-token.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { jwtLogin } from '../vault/logins/jwt.ts'
import { kubernetesLogin } from '../vault/logins/kubernetes.ts'
import type { LoginSettingNames } from '../vault/logins/login.ts'
import type { VaultRequester } from '../vault/client/request.ts'
import { AccessRules } from './identity/access-rules.ts'
import { ContentCache } from './volume/content-cache.ts'
import { serveCsiProvider } from './grpc.ts'
import { KeyCache } from './volume/key-cache.ts'
import { MountService } from './mount-service.ts'
import { toMountStatus } from './mount-status.ts'
import { PodSession } from './identity/pod-session.ts'
import { explainPodToken } from './identity/pod-token.ts'
import { SessionCache } from './identity/session-cache.ts'
import { SharedMounts } from './shared-mounts.ts'
import { VolumeContent } from './volume/volume-content.ts'
import { VolumeLedger } from './volume/volume-ledger.ts'

/** The only caller is the driver, which mounts as many volumes at once as kubelet starts pods. Not configurable. */
const MAX_MOUNTS_IN_FLIGHT = 512

/** The settings that messages about a refused login name. */
const POD_LOGIN_SETTINGS: LoginSettingNames = {
  mount: 'csi.auth.mount',
  role: 'the role of the SecretProviderClass',
  audience: 'csi.audience',
}

export interface CsiProviderOptions {
  readonly csi: CsiConfig
  /** The KMS plugin's key, if configured. Only a rule with its exact name allows it. */
  readonly transit: ProviderTransitConfig
  /** Sends requests to Vault; each pod logs in with its own identity. */
  readonly client: VaultRequester
  /** Reported by the Version call. */
  readonly programVersion: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** The CSI provider without its socket. */
export interface CsiProvider {
  readonly services: readonly GrpcService[]
  readonly service: MountService
  readonly ledger: VolumeLedger
  readonly sessions: SessionCache
  /** Zeroes cached content and revokes the pods' Vault tokens, as far as the deadline allows. */
  stop(context: CallContext): Promise<void>
}

/** Creates the provider. It sends no request to Vault before the first Mount. */
export function createCsiProvider(options: CsiProviderOptions): CsiProvider {
  const { csi, transit, clock, metrics, log } = options
  const sessions = new SessionCache({
    open: (token, role) => openSession(token, role, options),
    clock,
    onSize: (size) => metrics.csiSessions.set(size),
  })
  const { refreshIntervalMs, revalidateAfterMs } = csi
  const contents = new ContentCache({ maxAgeMs: revalidateAfterMs, clock })
  const keys = new KeyCache({ refreshIntervalMs, revalidateAfterMs, clock })
  const ledger = new VolumeLedger(clock, log)
  const guardedKey = transit.mount === csi.mount ? transit.key : undefined
  const service = new MountService({
    audience: csi.audience,
    mount: csi.mount,
    rules: new AccessRules({ rules: csi.rules, guardedKey }),
    sessions,
    content: new VolumeContent({ keys, contents, mount: csi.mount, clock }),
    shared: new SharedMounts(clock),
    ledger,
    clock,
    metrics,
  })
  return {
    services: [serveCsiProvider(service, createFunnel(options), options.programVersion)],
    service,
    ledger,
    sessions,
    async stop(context) {
      contents.clear()
      await sessions.stop(context)
    },
  }
}

function openSession(
  token: ServiceAccountToken,
  role: string,
  { csi, client, clock, log, metrics }: CsiProviderOptions,
): PodSession {
  const { namespace = '', serviceAccount } = token.claims
  const named = log.child({
    [logKey.namespace]: namespace,
    [logKey.serviceAccount]: serviceAccount?.name ?? '',
  })
  const createLogin = csi.auth.method === 'jwt' ? jwtLogin : kubernetesLogin
  const login = createLogin({
    client,
    mount: csi.auth.mount,
    role,
    readJwt: () => Promise.resolve(explainPodToken(token, csi.audience, clock.now())),
    clock,
    settings: POD_LOGIN_SETTINGS,
  })
  // No gauge for the token's expiry: it could show only one of many sessions.
  const { vaultLogins } = metrics
  return new PodSession({
    token,
    role,
    login,
    client,
    mount: csi.mount,
    clock,
    log: named,
    metrics: { vaultLogins },
  })
}

function createFunnel({ clock, log, metrics }: CsiProviderOptions): UnaryFunnel {
  return new UnaryFunnel({
    clock,
    log,
    onCall: (method, code, seconds) => {
      if (method === 'Mount') metrics.csiMountDuration.observe({ code }, seconds)
    },
    onInFlight: (calls) => metrics.csiMountsInFlight.set(calls),
    maxInFlight: MAX_MOUNTS_IN_FLIGHT,
    limitSetting: '',
    toStatus: toMountStatus,
  })
}
