import type { CsiAuthConfig, CsiConfig } from '../../config/config.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { VaultMetrics } from '../../telemetry/metrics/roles.ts'
import type { Clock } from '../../time/clock.ts'
import { inNamespace, type VaultRequester } from '../../vault/client/request.ts'
import { jwtLogin } from '../../vault/logins/jwt.ts'
import { kubernetesLogin } from '../../vault/logins/kubernetes.ts'
import type { LoginSettingNames } from '../../vault/logins/login.ts'
import { PodSession } from './pod-session.ts'
import { explainPodToken } from './pod-token.ts'

export interface PodLoginOptions {
  readonly csi: Pick<CsiConfig, 'audience' | 'auth' | 'authByNamespace'>
  readonly client: VaultRequester
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Pick<VaultMetrics, 'vaultLogins'>
}

/** Creates the session of a pod in a Vault namespace. It sends no request before it is used. */
export function openPodSession(
  token: ServiceAccountToken,
  role: string,
  vaultNamespace: string,
  { csi, client, clock, log, metrics }: PodLoginOptions,
): PodSession {
  const { namespace = '', serviceAccount } = token.claims
  const named = log.child({
    [logKey.namespace]: namespace,
    [logKey.serviceAccount]: serviceAccount?.name ?? '',
    [logKey.vaultNamespace]: vaultNamespace === '' ? undefined : vaultNamespace,
  })
  const { auth, settings } = findAuth(csi, vaultNamespace)
  const createLogin = auth.method === 'jwt' ? jwtLogin : kubernetesLogin
  const login = createLogin({
    client: inNamespace(client, auth.namespace ?? vaultNamespace),
    mount: auth.mount,
    role,
    readJwt: () => Promise.resolve(explainPodToken(token, csi.audience, clock.now())),
    clock,
    settings,
  })
  // No gauge for the token's expiry: it could show only one of many sessions.
  const { vaultLogins } = metrics
  return new PodSession({
    token,
    role,
    vaultNamespace,
    login,
    client,
    clock,
    log: named,
    metrics: { vaultLogins },
  })
}

interface FoundAuth {
  readonly auth: CsiAuthConfig
  /** The settings that appear in messages about a refused login. */
  readonly settings: LoginSettingNames
}

function findAuth(
  { auth, authByNamespace }: PodLoginOptions['csi'],
  vaultNamespace: string,
): FoundAuth {
  const own = authByNamespace.find((entry) => entry.vaultNamespace === vaultNamespace)
  const section = own === undefined ? 'csi.auth' : 'csi.authByNamespace'
  const used = own ?? auth
  const loginNamespace = used.namespace ?? vaultNamespace
  const settings = {
    mount: `${section}.mount`,
    role: 'the role of the SecretProviderClass or of volumeAttributes',
    audience: 'csi.audience',
    expiryAdvice:
      'the CSI driver must send a fresh token with each call, and the clocks must be right',
    namespaceAdvice:
      loginNamespace === ''
        ? 'and that vault.namespace is right'
        : `in Vault namespace ${loginNamespace}`,
  }
  return { auth: used, settings }
}
