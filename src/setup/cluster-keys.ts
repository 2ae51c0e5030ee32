import { createPublicKey, X509Certificate } from 'node:crypto'
import { exportSPKI, importJWK } from 'jose'
import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import { listPemBlocks } from '../text/pem-blocks.ts'

/** Who signs the service-account tokens of a cluster. */
export interface ClusterKeys {
  readonly issuer: string
  /** SPKI in PEM, at least one. */
  readonly publicKeys: readonly string[]
}

const Jwks = v.object({
  keys: v.array(
    v.looseObject({ kty: v.picklist(['RSA', 'EC', 'OKP']), alg: v.optional(v.string()) }),
  ),
})
const Discovery = v.object({ issuer: v.pipe(v.string(), v.minLength(1)) })

/** The public keys in the JSON of `/openid/v1/jwks`; `place` names it in messages. */
export async function readJwks(value: unknown, place: string): Promise<readonly string[]> {
  const parsed = v.safeParse(Jwks, value, { abortEarly: true })
  if (!parsed.success || parsed.output.keys.length === 0)
    throw mistake(
      `${place} is not a JWKS with public keys; kubectl get --raw /openid/v1/jwks prints one`,
    )
  return Promise.all(
    parsed.output.keys.map(async ({ kty, n, e, crv, x, y, alg = 'RS256' }) => {
      try {
        // Only the public members: a private key in the file is not used.
        const jwk = { kty, ...pick({ n, e, crv, x, y }) }
        const key = await importJWK(jwk, alg, { extractable: true })
        if (key instanceof Uint8Array) throw new TypeError('symmetric')
        return await exportSPKI(key)
      } catch {
        throw mistake(`${place} contains a key that cannot be used`)
      }
    }),
  )
}

function pick(fields: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).filter(
      (field): field is [string, string] => typeof field[1] === 'string',
    ),
  )
}

/** The issuer in the JSON of `/.well-known/openid-configuration`. */
export function readIssuer(value: unknown, place: string): string {
  const parsed = v.safeParse(Discovery, value, { abortEarly: true })
  if (parsed.success) return parsed.output.issuer
  throw mistake(`${place} names no issuer; pass --issuer ISSUER`)
}

/** The public keys in a PEM file of kube-apiserver: public keys, certificates, or the public half of a private key. */
export function readPem(text: string, place: string): readonly string[] {
  const keys = listPemBlocks(text, /-----BEGIN [A-Z0-9 ]+-----/g)
    .filter((block) => !block.includes('PARAMETERS'))
    .map((block) => toPublic(block, place))
  if (keys.length === 0) throw mistake(`${place} contains no key in PEM`)
  return [...new Set(keys)]
}

function toPublic(block: string, place: string): string {
  try {
    const key = block.includes('BEGIN CERTIFICATE')
      ? new X509Certificate(block).publicKey
      : createPublicKey(block)
    return key.export({ type: 'spki', format: 'pem' })
  } catch {
    // Without the cause, which may quote what it could not parse.
    throw mistake(`${place} contains a key that cannot be read`)
  }
}

/** Undefined for what is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', message)
}
