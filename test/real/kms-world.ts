import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OpenBao, type OpenBaoOptions } from './openbao.ts'
import type { PluginConfiguration } from './plugin.ts'
import { ServiceAccountIssuer, type ServiceAccountToken } from './service-account.ts'
import { tempFolder } from './temp-folder.ts'
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

export type KmsWorldOptions = {
  /** Life of the tokens that a login gives. Default: 1h. */
  ttl?: string
  /** Whether OpenBao writes an audit file. Default: true. */
  audit?: boolean
  /** Serve TLS; plugins then trust this CA. */
  tls?: NonNullable<OpenBaoOptions['tls']>
  /** An OpenBao that runs already, for example the leader of a cluster. Default: a new one. */
  bao?: OpenBao
  /** Another world whose identity this one accepts, too. Default: an identity of its own. */
  accepts?: KmsWorld
}

/** A real OpenBao that is ready for the KMS plugin: key, policy, jwt login, and a token file. */
export class KmsWorld {
  readonly bao: OpenBao
  readonly tokenFile: string
  readonly #issuer: ServiceAccountIssuer
  readonly #caFile: string | undefined

  static async start(options: KmsWorldOptions = {}): Promise<KmsWorld> {
    const { audit = true, tls, accepts } = options
    const [bao, issuer] = await Promise.all([
      options.bao ?? OpenBao.start({ audit, ...(tls === undefined ? {} : { tls }) }),
      accepts === undefined ? ServiceAccountIssuer.create() : accepts.#issuer,
    ])
    const world = new KmsWorld(bao, issuer, tls?.caFile)
    await enableTransit(bao)
    await makeKey(bao, KEY)
    await world.writePolicy()
    await world.enableLogin(options)
    await auditHeader(bao, 'X-Transit-Bridge-UID')
    await world.writeToken()
    return world
  }

  private constructor(bao: OpenBao, issuer: ServiceAccountIssuer, caFile: string | undefined) {
    this.bao = bao
    this.#caFile = caFile
    this.#issuer = issuer
    this.tokenFile = join(tempFolder('identity'), 'token')
  }

  /** Gives the plugin what `vault-policies/kms.hcl` gives. */
  async writePolicy(hcl?: string): Promise<void> {
    await writePolicy(this.bao, POLICY, hcl ?? (await renderPolicy('kms.hcl')))
  }

  /** Lets the plugin's service account log in by its JWT. */
  async enableLogin({ ttl = '1h' }: { ttl?: string } = {}): Promise<void> {
    await enableJwtLogin(this.bao, { ...this.jwtLogin(), ttl })
  }

  /** What Vault must know to let the plugin's service account log in: for roles of one's own. */
  jwtLogin(): JwtLogin {
    return {
      issuer: this.#issuer.issuer,
      publicKeysPem: [this.#issuer.publicKeyPem],
      audience: 'vault',
      subject: `system:serviceaccount:${SERVICE_ACCOUNT.namespace}:${SERVICE_ACCOUNT.name}`,
      role: ROLE,
      policies: [POLICY],
    }
  }

  /** Puts a fresh token of the plugin's service account where the plugin reads it. */
  async writeToken(wanted: ServiceAccountToken = {}): Promise<void> {
    const token = await this.#issuer.token({ ...SERVICE_ACCOUNT, ...wanted })
    writeFileSync(this.tokenFile, token, { mode: 0o600 })
  }

  /** Logs in as the plugin does; gives the Vault token. */
  async login(): Promise<string> {
    const jwt = readFileSync(this.tokenFile, 'utf8')
    const answer = await this.bao.api('POST', 'auth/jwt/login', { role: ROLE, jwt })
    return String(answer.auth.client_token)
  }

  /** A plugin configuration for this world; `address` may be that of a proxy. */
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
