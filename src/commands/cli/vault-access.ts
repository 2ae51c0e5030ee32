import type { AuthConfig, VaultConfig, VaultConnection } from '../../config/config.ts'
import type { Clock } from '../../time/clock.ts'
import { identityFromFile } from '../../identity/identity-source.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { IdentityMetrics, KmsMetrics, VaultMetrics } from '../../telemetry/metrics/roles.ts'
import { createVaultClient, type VaultClient } from '../../vault/client/client.ts'
import type { AddressCheck } from '../../vault/client/addresses/recognition.ts'
import { appRoleLogin } from '../../vault/logins/approle.ts'
import { certLogin } from '../../vault/logins/cert.ts'
import { jwtLogin } from '../../vault/logins/jwt.ts'
import { kubernetesLogin } from '../../vault/logins/kubernetes.ts'
import type { Login } from '../../vault/logins/login.ts'
import { tokenLogin } from '../../vault/logins/token.ts'
import { inNamespace } from '../../vault/client/request.ts'
import { createVaultSession, type VaultSession } from '../../vault/session/session.ts'

export interface ClientOptions {
  readonly config: VaultConnection
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: VaultMetrics
  readonly recognize?: AddressCheck | undefined
}

export interface VaultAccessOptions extends ClientOptions {
  readonly config: VaultConfig
  readonly metrics: VaultMetrics &
    IdentityMetrics &
    Pick<KmsMetrics, 'vaultTokenExpiry' | 'loginsFailingSince'>
}

/** Together with the session's pauses, it ensures that the end of an outage is noticed within 10 s. */
const MIN_LOGIN_TIMEOUT_MS = 4_000

/** A client and a session under the program's own identity, as the configuration's `vault` section says. */
export interface VaultAccess {
  readonly client: VaultClient
  readonly session: VaultSession
}

/** A client without an identity, as the configuration's `vault` section says. */
export function createClient(options: ClientOptions): VaultClient {
  const { config, clock, log, metrics, recognize } = options
  const { addresses, namespace, caFile, serverName, timeoutMs, clientCertificate } = config
  return createVaultClient({
    addresses,
    timeoutMs,
    clock,
    log,
    metrics,
    recognize,
    namespace,
    caFile,
    serverName,
    clientCertificate,
  })
}

/** Connects client, login and session. No request is sent before the session is started or used. */
export function createVaultAccess(options: VaultAccessOptions): VaultAccess {
  const { config, clock, log, metrics } = options
  const client = createClient(options)
  const login = createLogin(config.auth, client, options)
  // A longer vault.timeout applies to logins, too.
  const loginTimeoutMs = Math.max(config.timeoutMs, MIN_LOGIN_TIMEOUT_MS)
  const session = createVaultSession({ client, login, clock, log, metrics, loginTimeoutMs })
  return { client, session }
}

function createLogin(auth: AuthConfig, client: VaultClient, options: VaultAccessOptions): Login {
  const { clock, metrics } = options
  // The login may be in a namespace other than that of the Transit engine.
  const through = inNamespace(client, auth.namespace)
  switch (auth.method) {
    case 'jwt':
    case 'kubernetes': {
      const { role, mount, tokenFile, audience, issuer } = auth
      const expectations = { audience, issuer }
      const readJwt = identityFromFile({ file: tokenFile, expectations, clock, metrics })
      const login = auth.method === 'jwt' ? jwtLogin : kubernetesLogin
      return login({ client: through, mount, role, readJwt, clock })
    }
    case 'approle':
      return appRoleLogin({ client: through, ...auth, clock })
    case 'cert':
      return certLogin({ client: through, ...auth, clock, beforeLogin: () => client.refreshTls() })
    case 'token':
      return tokenLogin({ client: through, tokenFile: auth.tokenFile, clock })
  }
}
