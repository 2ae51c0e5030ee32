import { BridgeError } from '../errors.ts'
import { decodeServiceAccountToken } from '../identity/service-account-token.ts'
import { describeIdentity, quotedAudiences } from '../identity/token-words.ts'
import type { Reviewer } from './wanted.ts'
import type { SecretFile } from './plan.ts'

/** A reviewer token with what its claims say. They only warn: the API server decides, by its own clock and settings. */
export function inspectReviewer(file: SecretFile, now: number): Reviewer {
  const reviewer = { kind: 'file', ...file } as const
  try {
    const { claims } = decodeServiceAccountToken(file.content.reveal(), file.path)
    const { issuer, audiences, expiresAt } = claims
    const suspicions: string[] = []
    if (expiresAt !== undefined && expiresAt <= now)
      suspicions.push(`${file.path} cannot review logins: ${describeIdentity(claims, now)}`)
    if (issuer !== undefined && audiences.length > 0 && !audiences.includes(issuer))
      suspicions.push(
        `${file.path} has ${quotedAudiences(audiences)}, which the API server refuses unless it is in --api-audiences: create the token without --audience`,
      )
    return { ...reviewer, suspicions, expiresAt }
  } catch (thrown) {
    return { ...reviewer, suspicions: [BridgeError.from(thrown).message] }
  }
}
