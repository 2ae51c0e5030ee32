import * as v from 'valibot'
import { BridgeError } from '../../errors.ts'
import {
  decodeServiceAccountToken,
  type ServiceAccountClaims,
  type ServiceAccountToken,
} from '../../identity/service-account-token.ts'
import type { IdentityToken } from '../../identity/identity-token.ts'
import { findTokenProblem } from '../../identity/token-check.ts'
import { quotedAudiences } from '../../identity/token-words.ts'
import { quoted } from '../../text/quoted.ts'
import { parseBoundedJson } from '../bounded-json.ts'
import { namePod, type MountRequest, type PodReference } from '../mount-request.ts'

const LONGEST_TOKEN = 16 * 1024

/** The part of a request that contains the tokens of a pod. */
export type TokenSource = Pick<MountRequest, 'pod' | 'tokens'>

/** Which CSIDriver object decides about tokens, for messages. */
export interface CsiDriver {
  readonly name: string
  /** Where its owner sets them, in parentheses with a leading space; empty if there is only the object. */
  readonly advice: string
}

const SECRETS_STORE_DRIVER: CsiDriver = {
  name: 'secrets-store.csi.k8s.io',
  advice: " (tokenRequests in the values of the driver's chart)",
}
const Tokens = v.record(v.string(), v.object({ token: v.pipe(v.string(), v.minLength(1)) }))

/**
 * Returns the pod's service-account token. Its claims must match the pod; Vault verifies its signature and expiry at
 * the login. Throws POD_TOKEN_MISSING or POD_TOKEN_INVALID.
 */
export function requirePodToken(
  request: TokenSource,
  audience: string,
  driver: CsiDriver = SECRETS_STORE_DRIVER,
): ServiceAccountToken {
  const { pod } = request
  const token = decode(findToken(request, audience, driver), pod)
  const problem = findMalformedClaim(token) ?? findForeignClaim(token.claims, pod)
  if (problem === undefined) return token
  throw new BridgeError('POD_TOKEN_INVALID', `${nameToken(pod)}: ${problem}`)
}

/** A pod's token for a login, with a reason why Vault may refuse it, if one is known. */
export function explainPodToken(
  token: ServiceAccountToken,
  audience: string,
  now: number,
): IdentityToken {
  const doubt = findTokenProblem(token.claims, { audience }, now, {
    token: "the pod's token",
    audience: 'csi.audience',
    issuer: 'the issuer',
    refresher: 'the kubelet',
  })
  return { ...token, doubt }
}

function findToken({ tokens, pod }: TokenSource, audience: string, driver: CsiDriver): string {
  if (tokens === undefined || tokens === '') {
    throw missing(audience, pod, driver, 'the CSI driver sent no tokens')
  }
  const byAudience = v.safeParse(Tokens, parseBoundedJson(tokens), { abortEarly: true })
  if (!byAudience.success) {
    throw new BridgeError(
      'POD_TOKEN_INVALID',
      `the tokens that the CSI driver sent for pod ${namePod(pod)} are not a JSON object of tokens by audience`,
    )
  }
  const { output } = byAudience
  const found = Object.hasOwn(output, audience) ? output[audience]?.token : undefined
  if (found !== undefined && found.length <= LONGEST_TOKEN) return found
  throw missing(
    audience,
    pod,
    driver,
    `the CSI driver sent tokens for ${quotedAudiences(Object.keys(output))}`,
  )
}

/** The kubelet creates the tokens for the audiences in the CSIDriver object. */
function missing(
  audience: string,
  pod: PodReference,
  driver: CsiDriver,
  what: string,
): BridgeError {
  return new BridgeError(
    'POD_TOKEN_MISSING',
    `pod ${namePod(pod)} has no service-account token for audience ${quoted(audience)} (csi.audience): ${what}; add {audience: ${audience}} to spec.tokenRequests of the CSIDriver ${driver.name}${driver.advice}`,
  )
}

function decode(jwt: string, pod: PodReference): ServiceAccountToken {
  return asPodToken(() => decodeServiceAccountToken(jwt, nameToken(pod)))
}

/** Changes IDENTITY_INVALID, which is about the program's own token, to POD_TOKEN_INVALID. */
function asPodToken<T>(work: () => T): T {
  try {
    return work()
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (error.code !== 'IDENTITY_INVALID') throw error
    throw new BridgeError('POD_TOKEN_INVALID', error.message)
  }
}

/** A malformed claim must not count as absent, because it would then not be compared with the pod. */
function findMalformedClaim({ malformedClaim }: ServiceAccountToken): string | undefined {
  if (malformedClaim === undefined) return undefined
  return `its claim ${malformedClaim} does not have the form that kube-apiserver writes`
}

/**
 * The token must belong to the namespace and service account in the request. The pod is compared only if the token is
 * bound to one: the sync controller sends its own pod, with a token that is bound to none.
 */
function findForeignClaim(claims: ServiceAccountClaims, pod: PodReference): string | undefined {
  const { namespace, serviceAccount } = pod
  const subject = `system:serviceaccount:${namespace}:${serviceAccount}`
  if (claims.subject !== subject) {
    return `its subject is ${claims.subject === undefined ? 'missing' : quoted(claims.subject)}, but the volume belongs to ${quoted(subject)}`
  }
  if (claims.namespace !== undefined && claims.namespace !== namespace) {
    return `its namespace claim is ${quoted(claims.namespace)}, but the volume belongs to ${quoted(namespace)}`
  }
  const account = claims.serviceAccount?.name
  if (account !== undefined && account !== serviceAccount) {
    return `its service account claim is ${quoted(account)}, but the volume belongs to ${quoted(serviceAccount)}`
  }
  if (claims.pod !== undefined && claims.pod.uid !== pod.uid) {
    return `it is bound to another pod (${quoted(claims.pod.name)}, uid ${quoted(claims.pod.uid)})`
  }
  return undefined
}

function nameToken(pod: PodReference): string {
  return `the service-account token of pod ${namePod(pod)}`
}
