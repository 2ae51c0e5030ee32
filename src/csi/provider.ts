import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { CsiConfig, TransitPlace } from '../config/config.ts'
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
import { ContentMemory } from './volume/content-memory.ts'
import { serveCsiProvider } from './grpc.ts'
import { KeyMemory } from './volume/key-memory.ts'
import { MountService } from './mount-service.ts'
import { toMountStatus } from './mount-status.ts'
import { PodSession } from './identity/pod-session.ts'
import { explainPodToken } from './identity/pod-token.ts'
import { SessionMemory } from './identity/session-memory.ts'
import { SharedMounts } from './shared-mounts.ts'
import { VolumeContent } from './volume/volume-content.ts'
import { VolumeLedger } from './volume/volume-ledger.ts'

/** A driver mounts as many volumes at once as kubelet starts pods; one caller, so this is a guard and no setting. */
const MAX_MOUNTS_IN_FLIGHT = 512

/** Where the reader of a refused login can change things. */
const POD_LOGIN_SETTINGS: LoginSettingNames = {
  mount: 'csi.auth.mount',
  role: 'the role of the SecretProviderClass',
  audience: 'csi.audience',
}

export interface CsiProviderOptions {
  readonly csi: CsiConfig
  /** Where the KMS plugin's key is, if one is named: workloads get it only where a rule names it. */
  readonly transit: TransitPlace
  /** Requests to Vault without an identity: each pod brings its own. */
  readonly client: VaultRequester
  /** Told to drivers that ask. */
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
  readonly sessions: SessionMemory
  /** Zeroes what is kept and revokes the pods' Vault tokens, as far as the deadline allows. */
  stop(context: CallContext): Promise<void>
}

/** Joins the parts of the provider; nothing is asked of Vault before a pod comes. */
export function createCsiProvider(options: CsiProviderOptions): CsiProvider {
  const { csi, transit, clock, metrics, log } = options
  const sessions = new SessionMemory({
    open: (token, role) => openSession(token, role, options),
    clock,
    onSize: (size) => metrics.csiSessions.set(size),
  })
  const { refreshIntervalMs: refreshInterval, revalidateAfterMs: revalidateAfter } = csi
  const contents = new ContentMemory({ maxAge: revalidateAfter, clock })
  const keys = new KeyMemory({ refreshInterval, revalidateAfter, clock })
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
  // The gauge of the token's expiry could show only one of many sessions.
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
