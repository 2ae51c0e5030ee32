import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as v from 'valibot'
import { BridgeError } from '../errors.ts'
import { Secret } from '../secret.ts'

/** A Kubernetes object as a token names it. */
export interface BoundObject {
  readonly name: string
  readonly uid: string
}

/** What a service-account token says of itself; nothing here is verified. Times: ms since 1970. */
export interface ServiceAccountClaims {
  readonly issuer: string
  readonly subject: string
  readonly audiences: readonly string[]
  readonly expiresAt: number
  readonly notBefore?: number | undefined
  readonly issuedAt?: number | undefined
  readonly namespace?: string | undefined
  readonly serviceAccount?: BoundObject | undefined
  readonly pod?: BoundObject | undefined
  /** The name of the node that the token is bound to. */
  readonly node?: string | undefined
}

/** A token and what it says of itself. */
export interface ServiceAccountToken {
  readonly token: Secret<string>
  readonly claims: ServiceAccountClaims
}

const text = v.pipe(v.string(), v.minLength(1))
const date = v.pipe(v.number(), v.finite())
const boundObject = v.object({ name: text, uid: v.string() })

/** Registered claims of RFC 7519 §4.1, and what kube-apiserver adds (bound service account tokens). */
const payloadSchema = v.object({
  iss: text,
  sub: text,
  aud: v.optional(v.union([text, v.array(text)]), []),
  exp: date,
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
})
type Payload = v.InferOutput<typeof payloadSchema>

/**
 * Reads the claims of a token without verifying it. `place` says in a message where the token comes from
 * ("vault.auth.tokenFile: FILE", "the token of pod shop/web"); the token itself is never in a message.
 */
export function decodeServiceAccountToken(jwt: string, place: string): ServiceAccountToken {
  const payload = v.safeParse(payloadSchema, decodePayload(jwt, place), { abortEarly: true })
  if (!payload.success) throw invalid(place, explainClaim(v.getDotPath(payload.issues[0])))
  return { token: new Secret(jwt), claims: claimsOf(payload.output) }
}

function decodePayload(jwt: string, place: string): unknown {
  try {
    decodeProtectedHeader(jwt)
    return decodeJwt(jwt)
  } catch {
    // Without the cause: a parser's message may quote what it could not parse.
    throw invalid(
      place,
      'is not a JWT; it must be a service-account token (three base64url parts joined by dots)',
    )
  }
}

function explainClaim(claim: string | null): string {
  if (claim === 'exp') {
    return 'is a JWT without a usable exp claim, so it never ends: use a projected service-account token, not one of a Secret'
  }
  return `is a JWT without a usable ${claim ?? 'payload'} claim; is it a service-account token?`
}

function claimsOf(payload: Payload): ServiceAccountClaims {
  const kubernetes = payload['kubernetes.io'] ?? {}
  return {
    issuer: payload.iss,
    subject: payload.sub,
    audiences: typeof payload.aud === 'string' ? [payload.aud] : payload.aud,
    expiresAt: payload.exp * 1000,
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

function invalid(place: string, what: string): BridgeError {
  return new BridgeError('IDENTITY_INVALID', `${place} ${what}`)
}
