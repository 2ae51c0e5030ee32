import { randomUUID } from 'node:crypto'
import { OpenBao, type OpenBaoOptions } from '../real/vault/openbao.ts'
import { ServiceAccountIssuer, type ServiceAccountToken } from '../real/cluster/service-account.ts'
import {
  auditHeader,
  enableJwtLogin,
  enableTransit,
  makeKey,
  writePolicy,
} from '../real/vault/transit-setup.ts'

/** The role in the classes of the tests. Its policy has the same name. */
export const ROLE = 'web'
const AUDIENCE = 'vault'

/** Default policy of the tests' pods; mount.test.ts tests vault-policies/csi.hcl. */
const POLICY = `
path "transit/keys/+" { capabilities = ["read"] }
path "transit/decrypt/+" { capabilities = ["update"] }
path "transit/export/+/+" { capabilities = ["read"] }
path "transit/export/+/+/+" { capabilities = ["read"] }
`

export type PodFacts = {
  namespace?: string
  serviceAccount?: string
  name?: string
  uid?: string
}

export type Pod = Required<PodFacts>

export type AttributesChange = Record<string, string | undefined>

/** A real OpenBao in which pods can log in, and the issuer of their service-account tokens. */
export class PodVault {
  readonly bao: OpenBao
  readonly issuer: ServiceAccountIssuer

  static async start(options: OpenBaoOptions = {}): Promise<PodVault> {
    const [bao, issuer] = await Promise.all([OpenBao.start(options), ServiceAccountIssuer.create()])
    const vault = new PodVault(bao, issuer)
    await enableTransit(bao)
    await auditHeader(bao, 'X-Transit-Bridge-UID')
    await vault.enableRole(ROLE, POLICY)
    return vault
  }

  /** In an OpenBao that has a Transit engine already, and pods' tokens of its issuer. */
  static async startIn({ bao, issuer }: Pick<PodVault, 'bao' | 'issuer'>): Promise<PodVault> {
    const vault = new PodVault(bao, issuer)
    await vault.enableRole(ROLE, POLICY)
    return vault
  }

  private constructor(bao: OpenBao, issuer: ServiceAccountIssuer) {
    this.bao = bao
    this.issuer = issuer
  }

  /** Creates a role of the jwt method and its policy. */
  async enableRole(role: string, policy: string, given: { ttl?: string } = {}): Promise<void> {
    await writePolicy(this.bao, role, policy)
    await enableJwtLogin(this.bao, {
      issuer: this.issuer.issuer,
      publicKeysPem: [this.issuer.publicKeyPem],
      audience: AUDIENCE,
      role,
      policies: [role],
      ...given,
    })
  }

  async makeKey(name: string, type = 'aes256-gcm96', more: Record<string, unknown> = {}) {
    await makeKey(this.bao, name, { type, ...more })
  }

  /** Encrypts with Transit, as the author of a class does. */
  async encrypt(key: string, plaintext: string | Buffer, more: object = {}): Promise<string> {
    const body = { plaintext: Buffer.from(plaintext).toString('base64'), ...more }
    const answer = await this.bao.api('POST', `transit/encrypt/${key}`, body)
    return answer.data.ciphertext as string
  }

  /** A token for a pod, in the format in which the driver passes tokens. */
  async tokens(pod: Pod, wanted: ServiceAccountToken & { forAudience?: string } = {}) {
    const { forAudience = AUDIENCE, ...rest } = wanted
    const token = await this.issuer.token({
      namespace: pod.namespace,
      name: pod.serviceAccount,
      audience: forAudience,
      pod: { name: pod.name, uid: pod.uid },
      ...rest,
    })
    return JSON.stringify({
      [forAudience]: { token, expirationTimestamp: new Date(Date.now() + 3.6e6).toISOString() },
    })
  }

  /** The attributes of a Mount as driver 1.6.0 writes them, with changes; undefined removes an attribute. */
  async attributes(
    pod: Pod,
    objects: string | readonly object[],
    change: AttributesChange = {},
  ): Promise<string> {
    const tokens = 'csi.storage.k8s.io/serviceAccount.tokens'
    const all = {
      role: ROLE,
      objects: typeof objects === 'string' ? objects : JSON.stringify(objects),
      secretProviderClass: 'keys',
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': pod.name,
      'csi.storage.k8s.io/pod.namespace': pod.namespace,
      'csi.storage.k8s.io/pod.uid': pod.uid,
      'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
      ...(tokens in change ? {} : { [tokens]: await this.tokens(pod) }),
      ...change,
    }
    // As the driver does: json.Marshal of Go sorts the names.
    const sorted = Object.entries(all).toSorted(([one], [other]) => (one < other ? -1 : 1))
    return JSON.stringify(Object.fromEntries(sorted))
  }

  async stop(): Promise<void> {
    await this.bao.stop()
  }
}

export function newPod(given: PodFacts = {}): Pod {
  const { namespace = 'shop', serviceAccount = 'web' } = given
  return { namespace, serviceAccount, name: `${serviceAccount}-0`, uid: randomUUID(), ...given }
}
