import { OpenBao, type OpenBaoOptions } from './openbao.ts'
import { rememberSecret } from '../program/told-secrets.ts'
import { enableTransit, renderPolicy, writePolicy } from './transit-setup.ts'

/** For the keys that the policy of vault-policies/ does not name; where it names one, its exact path decides. */
const MORE_KEYS = `
path "transit/keys/app-*" { capabilities = ["read"] }
path "transit/decrypt/app-*" { capabilities = ["update"] }
`

export type WorkloadRole = {
  role: string
  /** Which service accounts, as `system:serviceaccount:NAMESPACE:NAME`, `*` for any text. */
  subjects: string[]
  audience?: string
  /** Default: what vault-policies/csi.hcl gives, and keys named app-*. */
  policies?: string[]
}

export type Ciphering = { context?: Buffer; associatedData?: Buffer; namespace?: string }

/** A real OpenBao with a Transit engine for workloads: keys, policies, and logins of pods. */
export class CsiVault {
  readonly bao: OpenBao
  readonly #issuer: { issuer: string; publicKeyPem: string }

  /** @param issuer signs the pods' tokens; its public key is pinned, so no API server is asked */
  static async start(
    issuer: { issuer: string; publicKeyPem: string },
    options: OpenBaoOptions = {},
  ): Promise<CsiVault> {
    const vault = new CsiVault(await OpenBao.start(options), issuer)
    await enableTransit(vault.bao)
    await writePolicy(vault.bao, 'csi', await renderPolicy('csi.hcl'))
    await writePolicy(vault.bao, 'more-keys', MORE_KEYS)
    await vault.#enableLogin()
    return vault
  }

  private constructor(bao: OpenBao, issuer: { issuer: string; publicKeyPem: string }) {
    this.bao = bao
    this.#issuer = issuer
  }

  /** Lets service accounts log in as a role of method jwt. */
  async writeRole(wanted: WorkloadRole, namespace?: string): Promise<void> {
    const { role, subjects, audience = 'vault', policies = ['csi', 'more-keys'] } = wanted
    const settings = {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: [audience],
      bound_claims_type: 'glob',
      bound_claims: { sub: subjects },
      token_policies: policies,
      token_ttl: '10m',
    }
    await this.bao.api('POST', `auth/jwt/role/${role}`, settings, inside(namespace))
  }

  /** Creates a namespace with its own engine, policy and login. */
  async createNamespace(namespace: string): Promise<void> {
    await this.bao.api('POST', `sys/namespaces/${namespace}`, {})
    const within = { namespace }
    await this.bao.api('POST', 'sys/mounts/transit', { type: 'transit' }, within)
    for (const name of ['csi', 'more-keys']) {
      await this.bao.api('PUT', `sys/policies/acl/${name}`, { policy: MORE_KEYS }, within)
    }
    await this.#enableLogin(namespace)
  }

  /** What Transit makes of a value, as an author puts it into a class. The value counts as a secret from here on. */
  async encrypt(key: string, value: string | Buffer, how: Ciphering = {}): Promise<string> {
    const plaintext = Buffer.from(value)
    rememberSecret(plaintext)
    const { context, associatedData, namespace } = how
    const body = {
      plaintext: plaintext.toString('base64'),
      ...(context === undefined ? {} : { context: context.toString('base64') }),
      ...(associatedData === undefined
        ? {}
        : { associated_data: associatedData.toString('base64') }),
    }
    const path = `transit/encrypt/${key}`
    const { data } = await this.bao.api('POST', path, body, inside(namespace))
    return String(data.ciphertext)
  }

  /** A data key that Transit made, plain and wrapped. */
  async makeDataKey(key: string): Promise<{ plain: Buffer; wrapped: string }> {
    const { data } = await this.bao.api('POST', `transit/datakey/plaintext/${key}`, {})
    const plain = Buffer.from(String(data.plaintext), 'base64')
    rememberSecret(plain)
    return { plain, wrapped: String(data.ciphertext) }
  }

  async stop(): Promise<void> {
    await this.bao.stop()
  }

  async #enableLogin(namespace?: string): Promise<void> {
    await this.bao.api('POST', 'sys/auth/jwt', { type: 'jwt' }, inside(namespace))
    const { issuer, publicKeyPem } = this.#issuer
    const config = { jwt_validation_pubkeys: [publicKeyPem], bound_issuer: issuer }
    await this.bao.api('POST', 'auth/jwt/config', config, inside(namespace))
  }
}

function inside(namespace: string | undefined): { namespace?: string } {
  return namespace === undefined ? {} : { namespace }
}
