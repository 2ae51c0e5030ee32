import { BridgeError, type ErrorCode } from '../../errors.ts'
import { AttemptFailure, nameOperation, type Attempt, type Outcome, type Retry } from './attempt.ts'
import { SPEAKS_TLS, tlsFailure } from './network-failure.ts'
import { readWait } from './retry-after.ts'
import { cleanWords } from './wording.ts'

/** An answer as it came over the wire, and what it answers. */
export interface RawAnswer {
  readonly attempt: Attempt
  readonly status: number
  readonly text: string
  readonly retryAfter: string | undefined
  readonly rateLimitReset: string | undefined
  readonly location: string | undefined
}

interface Verdict {
  readonly code: ErrorCode
  readonly retry: Retry
  /** What stands between "vault at <address>" and Vault's own words. */
  readonly says: string
}

const NOT_JSON = Symbol('not JSON')

/**
 * Reads an answer that is no redirect. `address` is where it came from, `now` the wall clock for Retry-After.
 * A parser's error is never kept as the cause: it quotes the text, which may hold a plaintext.
 */
export function readAnswer(raw: RawAnswer, address: string, now: number): Outcome {
  const body = parseBody(raw.text)
  if (raw.status >= 200 && raw.status < 300 && body !== NOT_JSON)
    return { status: raw.status, body }
  if (body === NOT_JSON) return refuseStranger(raw, address, now)
  // Transit answers a batch with 400 or 500 when an item fails, and whatever partial_failure_response_code says.
  if (hasBatchResults(body)) return { status: raw.status, body }
  const words = errorsOf(body)
  const clean = cleanWords(words, raw.attempt.request)
  return refuse(judge(raw.status, words), raw, clean, address, now)
}

/** The one table from Vault's answers to codes; rows are those of openbao's http/handler.go and sdk/logical. */
function judge(status: number, words: readonly string[]): Verdict {
  if (status === 403) return { code: 'VAULT_DENIED', retry: 'never', says: 'denies' }
  if (status === 404) return { code: 'VAULT_NOT_FOUND', retry: 'never', says: 'has nothing for' }
  if (status === 429)
    return { code: 'VAULT_RATE_LIMITED', retry: 'later', says: 'limits the rate of' }
  if (status === 503 && mention(words, 'sealed')) {
    return {
      code: 'VAULT_SEALED',
      retry: 'elsewhere',
      says: 'is sealed and must be unsealed before',
    }
  }
  // A 500 that is the request's own fault (builtin/logical/transit/path_encrypt.go): it fails everywhere.
  if (status === 500 && mention(words, 'failed to parse batch input')) {
    return { code: 'VAULT_REJECTED', retry: 'never', says: 'rejects' }
  }
  if (status === 501) {
    return { code: 'VAULT_UNAVAILABLE', retry: 'elsewhere', says: 'is not initialised and cannot' }
  }
  // 472 and 473 are a DR secondary and a performance standby; Vault Enterprise only.
  if (status >= 500 || status === 472 || status === 473) {
    return { code: 'VAULT_UNAVAILABLE', retry: 'soon', says: 'cannot now' }
  }
  return { code: 'VAULT_REJECTED', retry: 'never', says: 'rejects' }
}

/** No JSON: something before Vault answered. Its status counts only where it says that this passes by itself. */
function refuseStranger(raw: RawAnswer, address: string, now: number): AttemptFailure {
  // The words of Go's net/http and of nginx; both answer 400.
  if (raw.status === 400 && /HTTP request .*to (?:an )?HTTPS (?:server|port)/i.test(raw.text)) {
    return tlsFailure(address, SPEAKS_TLS)
  }
  if (raw.status >= 500 || raw.status === 429) {
    return refuse(
      judge(raw.status, []),
      raw,
      'no answer of vault but of what stands before it',
      address,
      now,
    )
  }
  const message =
    `vault at ${address} sent an answer to ${nameOperation(raw.attempt.request)} that is not vault's ` +
    `(status ${String(raw.status)}, no JSON); check vault.address and what stands before it`
  return new AttemptFailure(new BridgeError('VAULT_ANSWER_INVALID', message), 'elsewhere')
}

function refuse(
  verdict: Verdict,
  raw: RawAnswer,
  words: string,
  address: string,
  now: number,
): AttemptFailure {
  const operation = nameOperation(raw.attempt.request)
  const message = `vault at ${address} ${verdict.says} ${operation}: ${describe(raw.status, words)}`
  const waitMs =
    verdict.retry === 'later' ? readWait(raw.retryAfter, raw.rateLimitReset, now) : undefined
  return new AttemptFailure(new BridgeError(verdict.code, message), verdict.retry, waitMs)
}

function describe(status: number, words: string): string {
  return words === '' ? `status ${String(status)}` : `${words} (status ${String(status)})`
}

/** An empty answer is undefined; JSON that is no object is none of Vault's. */
function parseBody(text: string): object | undefined | typeof NOT_JSON {
  if (text === '') return undefined
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? body : NOT_JSON
  } catch {
    return NOT_JSON
  }
}

function hasBatchResults(body: object | undefined): boolean {
  const data: unknown = body !== undefined && 'data' in body ? body.data : undefined
  return (
    typeof data === 'object' &&
    data !== null &&
    'batch_results' in data &&
    Array.isArray(data.batch_results)
  )
}

function errorsOf(body: object | undefined): string[] {
  const errors: unknown = body !== undefined && 'errors' in body ? body.errors : undefined
  return Array.isArray(errors) ? errors.filter((error) => typeof error === 'string') : []
}

function mention(words: readonly string[], part: string): boolean {
  return words.some((text) => text.toLowerCase().includes(part))
}
