import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OpenBao, type OpenBaoOptions } from './openbao.ts'
import type { PluginConfiguration } from '../program/plugin.ts'
import { ServiceAccountIssuer, type ServiceAccountToken } from '../cluster/service-account.ts'
import { tempFolder } from '../host/temp-folder.ts'
import {
  auditHeader,
  enableJwtLogin,
  enableTransit,
  makeKey,
  renderPolicy,
  writePolicy,
  type JwtLogin,
} from './transit-setup.ts'

export const KEY = 'k8s-etcd'
export const ROLE = 'transit-bridge-kms'
const POLICY = 'transit-bridge-kms'
const SERVICE_ACCOUNT = { namespace: 'kube-system', name: 'transit-bridge-kms' }

export type KmsVaultOptions = {
  /** Lifetime of the Vault tokens that a login returns. Default: 1h. */
  ttl?: string
  /** Whether OpenBao writes an audit file. Default: true. */
  audit?: boolean
  /** Serves TLS; plugins trust this CA. */
  tls?: NonNullable<OpenBaoOptions['tls']>
  /** A running OpenBao, for example the leader of a cluster. Default: a new one. */
  bao?: OpenBao
  /** Another KmsVault, whose service-account issuer this one trusts. Default: a new issuer. */
  accepts?: KmsVault
  /** Signs the service-account tokens. Default: a new issuer. */
  issuer?: ServiceAccountIssuer
}

/** A real OpenBao that is ready for the KMS plugin: key, policy, jwt login, and a token file. */
export class KmsVault {
  readonly bao: OpenBao
  readonly tokenFile: string
  readonly issuer: ServiceAccountIssuer
  readonly #caFile: string | undefined

  static async start(options: KmsVaultOptions = {}): Promise<KmsVault> {
    const { audit = true, tls, accepts } = options
    const [bao, issuer] = await Promise.all([
      options.bao ?? OpenBao.start({ audit, ...(tls === undefined ? {} : { tls }) }),
      options.issuer ?? (accepts === undefined ? ServiceAccountIssuer.create() : accepts.issuer),
    ])
    const vault = new KmsVault(bao, issuer, tls?.caFile)
    await enableTransit(bao)
    await makeKey(bao, KEY)
    await vault.writePolicy()
    await vault.enableLogin(options)
    await auditHeader(bao, 'X-Transit-Bridge-UID')
    await vault.writeToken()
    return vault
  }

  private constructor(bao: OpenBao, issuer: ServiceAccountIssuer, caFile: string | undefined) {
    this.bao = bao
    this.#caFile = caFile
    this.issuer = issuer
    this.tokenFile = join(tempFolder('identity'), 'token')
  }

  /** Writes the plugin's policy. Default: `vault-policies/kms.hcl`. */
  async writePolicy(hcl?: string): Promise<void> {
    await writePolicy(this.bao, POLICY, hcl ?? (await renderPolicy('kms.hcl')))
  }

  /** Enables the jwt login of the plugin's service account. */
  async enableLogin({ ttl = '1h' }: { ttl?: string } = {}): Promise<void> {
    await enableJwtLogin(this.bao, { ...this.jwtLogin(), ttl })
  }

  /** The login role of the plugin's service account; tests derive other roles from it. */
  jwtLogin(): JwtLogin {
    return {
      issuer: this.issuer.issuer,
      publicKeysPem: [this.issuer.publicKeyPem],
      audience: 'vault',
      subject: `system:serviceaccount:${SERVICE_ACCOUNT.namespace}:${SERVICE_ACCOUNT.name}`,
      role: ROLE,
      policies: [POLICY],
    }
  }

  /** Writes a new service-account token to the token file of the plugin. */
  async writeToken(wanted: ServiceAccountToken = {}): Promise<void> {
    writeFileSync(this.tokenFile, await this.issueToken(wanted), { mode: 0o600 })
  }

  /** A service-account token of the plugin. */
  issueToken(wanted: ServiceAccountToken = {}): Promise<string> {
    return this.issuer.token({ ...SERVICE_ACCOUNT, ...wanted })
  }

  readToken(): string {
    return readFileSync(this.tokenFile, 'utf8')
  }

  /** Logs in as the plugin does and returns the Vault token. */
  async login(): Promise<string> {
    const jwt = this.readToken()
    const answer = await this.bao.api('POST', 'auth/jwt/login', { role: ROLE, jwt })
    return String(answer.auth.client_token)
  }

  /** A plugin configuration for this Vault. `address` can be a proxy's. */
  configuration(
    address: string | string[] = this.bao.address,
    kms: Record<string, unknown> = {},
  ): PluginConfiguration {
    return {
      vault: {
        address,
        ...(this.#caFile === undefined ? {} : { caFile: this.#caFile }),
        auth: { method: 'jwt', role: ROLE, tokenFile: this.tokenFile },
      },
      kms,
    }
  }

  async stop(): Promise<void> {
    await this.bao.stop()
  }
}
