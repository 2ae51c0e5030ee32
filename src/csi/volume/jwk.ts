import type { KeyObject } from 'node:crypto'
import { BridgeError } from '../../errors.ts'
import type { RsaAlgorithm } from '../class/object-types.ts'

/** The only algorithm of each key type (RFC 7518 §3.1, RFC 8037 §3.1). RSA keys have several. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  'ecdsa-p256': 'ES256',
  'ecdsa-p384': 'ES384',
  'ecdsa-p521': 'ES512',
  ed25519: 'EdDSA',
}
/** Transit's default is PSS, but most token issuers use PKCS #1 v1.5. */
const DEFAULT_RSA_ALGORITHM: RsaAlgorithm = 'RS256'

export interface JwkOrigin {
  readonly keyName: string
  readonly keyType: string
  readonly version: number
  /** Set by the class; only for RSA keys. */
  readonly alg: RsaAlgorithm | undefined
}

/** A public key as a JWK. Its kid is `<key>:<version>`; a signer takes the version from the signature's `vault:v<version>:`. */
export function makeJwk(
  publicKey: KeyObject,
  origin: JwkOrigin,
): Readonly<Record<string, unknown>> {
  const { keyName, version } = origin
  const alg = algorithmOf(origin)
  return {
    ...publicKey.export({ format: 'jwk' }),
    kid: `${keyName}:${String(version)}`,
    alg,
    use: alg.startsWith('RSA-OAEP') ? 'enc' : 'sig',
  }
}

function algorithmOf({ keyName, keyType, alg }: JwkOrigin): string {
  if (keyType.startsWith('rsa-')) return alg ?? DEFAULT_RSA_ALGORITHM
  const only = ALGORITHMS[keyType]
  if (only === undefined || alg !== undefined) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${keyName} has type ${keyType}, ${only === undefined ? 'for which JWK has no algorithm' : `whose algorithm is ${only}; alg is only for RSA keys, remove it`}`,
    )
  }
  return only
}
