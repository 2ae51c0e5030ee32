import type { KeyObject } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { BridgeError } from '../../errors.ts'
import { DEFAULT_KEY_ID, type KeyIdRule } from '../class/key-id.ts'
import type { JwkFields, RsaAlgorithm } from '../class/object-types.ts'

/** The only algorithm of each key type (RFC 7518 §3.1, RFC 8037 §3.1). RSA keys have several. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  'ecdsa-p256': 'ES256',
  'ecdsa-p384': 'ES384',
  'ecdsa-p521': 'ES512',
  ed25519: 'EdDSA',
}
/** Transit's default is PSS, but most token issuers use PKCS #1 v1.5. */
const DEFAULT_RSA_ALGORITHM: RsaAlgorithm = 'RS256'

export interface JwkOrigin extends JwkFields {
  readonly keyName: string
  readonly keyType: string
  readonly version: number
}

export interface Jwk {
  readonly kid: string
  readonly [name: string]: unknown
}

/** A public key as a JWK. Throws OBJECT_UNSUITABLE if it has no algorithm, or a different one than the class. */
export async function makeJwk(publicKey: KeyObject, origin: JwkOrigin): Promise<Jwk> {
  const jwk = publicKey.export({ format: 'jwk' })
  const alg = algorithmOf(origin)
  const { kid: rule = DEFAULT_KEY_ID } = origin
  const kid = rule === 'thumbprint' ? await calculateJwkThumbprint(jwk) : fillIn(rule, origin)
  return { ...jwk, kid, alg, use: alg.startsWith('RSA-OAEP') ? 'enc' : 'sig' }
}

/** Throws OBJECT_UNSUITABLE if two keys have the same kid, since a verifier would find only one of them. */
export function requireDistinctIds(keys: readonly Jwk[]): void {
  const seen = new Set<string>()
  for (const { kid } of keys) {
    if (seen.has(kid)) {
      throw new BridgeError(
        'OBJECT_UNSUITABLE',
        `two keys have the kid ${kid}; change kid, or remove one of the keys`,
      )
    }
    seen.add(kid)
  }
}

/** Whether `alg` of a class applies to keys of this type. */
export function hasSeveralAlgorithms(keyType: string): boolean {
  return keyType.startsWith('rsa-')
}

/** Without encodings, which the class parser refuses here. */
function fillIn(parts: Exclude<KeyIdRule, 'thumbprint'>, { keyName, version }: JwkOrigin): string {
  const values: Readonly<Record<string, string>> = { key: keyName, version: String(version) }
  return parts.map((part) => (typeof part === 'string' ? part : (values[part.name] ?? ''))).join('')
}

function algorithmOf({ keyName, keyType, alg }: JwkOrigin): string {
  if (hasSeveralAlgorithms(keyType)) return alg ?? DEFAULT_RSA_ALGORITHM
  const only = ALGORITHMS[keyType]
  if (only === undefined || alg !== undefined) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${keyName} has type ${keyType}, ${only === undefined ? 'for which JWK has no algorithm' : `whose algorithm is ${only}; alg is only for RSA keys, remove it`}`,
    )
  }
  return only
}
