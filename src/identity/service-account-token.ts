import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as v from 'valibot'
import { BridgeError } from '../errors.ts'
import { Secret } from '../secret.ts'

/** A Kubernetes object as a token names it. */
export interface BoundObject {
  readonly name: string
  readonly uid: string
}

/** What a token claims; nothing here is verified. Times are in milliseconds since 1970. */
export interface ServiceAccountClaims {
  readonly issuer?: string | undefined
  readonly subject?: string | undefined
  readonly audiences: readonly string[]
  readonly expiresAt?: number | undefined
  readonly notBefore?: number | undefined
  readonly issuedAt?: number | undefined
  readonly namespace?: string | undefined
  readonly serviceAccount?: BoundObject | undefined
  readonly pod?: BoundObject | undefined
  /** The name of the node that the token is bound to. */
  readonly node?: string | undefined
}

/** A token and what it claims. */
export interface ServiceAccountToken {
  readonly token: Secret<string>
  readonly claims: ServiceAccountClaims
  /** The first claim that is present but has a form that no issuer writes; it counts as absent. */
  readonly malformedClaim?: string | undefined
}

const text = v.pipe(v.string(), v.minLength(1))
const date = v.pipe(v.number(), v.finite())
const boundObject = v.object({ name: text, uid: v.string() })

/** Registered claims of RFC 7519 section 4.1, and those that kube-apiserver adds (bound service-account tokens). */
const claims = {
  iss: v.optional(text),
  sub: v.optional(text),
  aud: v.optional(v.union([text, v.array(text)])),
  exp: v.optional(date),
  nbf: v.optional(date),
  iat: v.optional(date),
  'kubernetes.io': v.optional(
    v.object({
      namespace: v.optional(text),
      serviceaccount: v.optional(boundObject),
      pod: v.optional(boundObject),
      node: v.optional(v.object({ name: text })),
    }),
  ),
}
const strictPayload = v.object(claims)
const lenientPayload = v.object({
  iss: v.fallback(claims.iss, undefined),
  sub: v.fallback(claims.sub, undefined),
  aud: v.fallback(claims.aud, undefined),
  exp: v.fallback(claims.exp, undefined),
  nbf: v.fallback(claims.nbf, undefined),
  iat: v.fallback(claims.iat, undefined),
  'kubernetes.io': v.fallback(claims['kubernetes.io'], undefined),
})
type Payload = v.InferOutput<typeof lenientPayload>

/**
 * Reads the claims of a token without verifying it. `place` names the token's origin in a message
 * ("vault.auth.tokenFile: FILE", "the token of pod shop/web"); the token itself never appears in a message.
 */
export function decodeServiceAccountToken(jwt: string, place: string): ServiceAccountToken {
  const payload = decodePayload(jwt, place)
  const strict = v.safeParse(strictPayload, payload, { abortEarly: true })
  return {
    token: new Secret(jwt),
    claims: claimsOf(v.parse(lenientPayload, payload, { abortEarly: true })),
    malformedClaim: strict.success ? undefined : (v.getDotPath(strict.issues[0]) ?? undefined),
  }
}

function decodePayload(jwt: string, place: string): unknown {
  try {
    decodeProtectedHeader(jwt)
    return decodeJwt(jwt)
  } catch {
    // Without the cause: a parser's message may quote what it could not parse.
    throw new BridgeError(
      'IDENTITY_INVALID',
      `${place} is not a JWT (three base64url parts joined by dots); it must be a service-account token or a JWT-SVID`,
    )
  }
}

function claimsOf(payload: Payload): ServiceAccountClaims {
  const kubernetes = payload['kubernetes.io'] ?? {}
  return {
    issuer: payload.iss,
    subject: payload.sub,
    audiences: [payload.aud ?? []].flat(),
    expiresAt: inMilliseconds(payload.exp),
    notBefore: inMilliseconds(payload.nbf),
    issuedAt: inMilliseconds(payload.iat),
    namespace: kubernetes.namespace,
    serviceAccount: kubernetes.serviceaccount,
    pod: kubernetes.pod,
    node: kubernetes.node?.name,
  }
}

function inMilliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}
