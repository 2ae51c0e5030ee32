import { isOutage, type BridgeError, type ErrorCode } from '../../errors.ts'
import { respondErrors, type PodResponse } from './pod-request.ts'

/** If Vault does not say when. */
const RETRY_MS = 1_000
/** A longer wait that Vault asks for is shortened: clients may sleep for as long as the header says. */
const MAX_RETRY_MS = 60_000

const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  REQUEST_INVALID: 400,
  RULE_DENIED: 403,
  VAULT_DENIED: 403,
  LOGIN_REFUSED: 403,
  POD_TOKEN_INVALID: 403,
  POD_TOKEN_MISSING: 503,
  VAULT_NOT_FOUND: 404,
  VAULT_REJECTED: 400,
  CONTENT_TOO_LARGE: 413,
  OVERLOADED: 429,
  VAULT_RATE_LIMITED: 429,
  DEADLINE_EXCEEDED: 503,
  CANCELLED: 503,
}

/** Statuses after which clients of Vault try again. */
const TEMPORARY = new Set([429, 503])

/** The HTTP status of an error. */
function statusOf(error: BridgeError): number {
  return STATUS_OF[error.code] ?? (isOutage(error) ? 503 : 500)
}

/** It begins with Vault's own text, which clients recognize. One error, because `bao` prints several without a line break. */
const DENIED =
  "permission denied: csi.rules allow this, but the policies of the pod's Vault role do not, or the key to encrypt with does not exist; ask the administrator of Vault"

/** Converts an error to a response of Vault's API. */
export function toErrorResponse(error: BridgeError): PodResponse {
  const status = statusOf(error)
  const words = error.code === 'VAULT_DENIED' ? DENIED : error.message
  return respondErrors(
    status,
    [status === 500 ? 'internal error' : words],
    TEMPORARY.has(status) ? retrySeconds(error) : undefined,
  )
}

function retrySeconds({ retryAfterMs = RETRY_MS }: BridgeError): number {
  return Math.ceil(Math.min(Math.max(retryAfterMs, RETRY_MS), MAX_RETRY_MS) / 1000)
}
