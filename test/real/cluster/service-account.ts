import { createHash, randomUUID } from 'node:crypto'
import { SignJWT, exportPKCS8, exportSPKI, generateKeyPair } from 'jose'
import type { JWTPayload } from 'jose'

export type ServiceAccountToken = {
  /** Default: `default`. */
  namespace?: string
  /** The service account. Default: `default`. */
  name?: string
  audience?: string | string[]
  /** Seconds from now; negative for a token that has expired. Default: 3600. */
  expiresIn?: number
  /** The pod it is bound to; null for a token that is bound to none. */
  pod?: { name: string; uid: string } | null
  node?: { name: string; uid: string } | null
  uid?: string
  /** Replace the default claims; undefined removes one. */
  claims?: Record<string, unknown>
}

/** Signs service-account tokens as a kube-apiserver does for projected volumes. */
export class ServiceAccountIssuer {
  readonly issuer: string
  readonly publicKeyPem: string
  readonly privateKeyPem: string
  readonly keyId: string
  readonly #key: CryptoKey

  static async create(
    issuer = 'https://kubernetes.default.svc.cluster.local',
  ): Promise<ServiceAccountIssuer> {
    const pair = await generateKeyPair('RS256', { extractable: true, modulusLength: 2048 })
    return new ServiceAccountIssuer(
      issuer,
      pair.privateKey,
      await exportSPKI(pair.publicKey),
      await exportPKCS8(pair.privateKey),
    )
  }

  private constructor(issuer: string, key: CryptoKey, publicKeyPem: string, privateKeyPem: string) {
    this.issuer = issuer
    this.#key = key
    this.publicKeyPem = publicKeyPem
    this.privateKeyPem = privateKeyPem
    this.keyId = keyIdOf(publicKeyPem)
  }

  /** Signs a token; every part has a default, every claim can be overridden. */
  async token(wanted: ServiceAccountToken = {}): Promise<string> {
    const { namespace = 'default', name = 'default', audience = 'vault', expiresIn = 3600 } = wanted
    const { pod = { name: `${name}-0`, uid: randomUUID() } } = wanted
    const { node = { name: 'node-1', uid: randomUUID() } } = wanted
    const now = Math.floor(Date.now() / 1000)
    // An expired token was issued before it expired.
    const issued = Math.min(now, now + expiresIn - 600)
    const claims: JWTPayload = {
      iss: this.issuer,
      aud: typeof audience === 'string' ? [audience] : audience,
      sub: `system:serviceaccount:${namespace}:${name}`,
      exp: now + expiresIn,
      iat: expiresIn > 0 ? now : issued,
      nbf: expiresIn > 0 ? now : issued,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        ...(pod === null ? {} : { pod }),
        ...(pod === null || node === null ? {} : { node }),
        serviceaccount: { name, uid: wanted.uid ?? randomUUID() },
      },
      ...wanted.claims,
    }
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: this.keyId }).sign(this.#key)
  }
}

/** The key id that kube-apiserver derives from a public key: SHA-256 over its DER form. */
function keyIdOf(publicKeyPem: string): string {
  const der = Buffer.from(publicKeyPem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  return createHash('sha256').update(der).digest('base64url')
}
