import { BridgeError, type ErrorCode } from '../../errors.ts'
import type { Connection } from './connection.ts'
import { AttemptFailure, nameOperation, type Attempt, type Outcome, type Retry } from './attempt.ts'
import { SPEAKS_TLS, tlsFailure } from './network-failure.ts'
import type { VaultOperation } from './request.ts'
import { readWait } from './retry-after.ts'
import { parseSealed, type SealedText } from './secret-fields.ts'
import { cleanWords } from './wording.ts'

/** A response as received, and the attempt it belongs to. */
export interface RawAnswer extends SealedText {
  readonly attempt: Attempt
  /** The connection that it came over. */
  readonly connection: Pick<Connection, 'leave'> | undefined
  readonly status: number
  readonly retryAfter: string | undefined
  readonly rateLimitReset: string | undefined
  readonly location: string | undefined
  /** The content of a response that is passed on, instead of `text`. */
  readonly bytes?: Buffer | undefined
}

interface Verdict {
  readonly code: ErrorCode
  readonly retry: Retry
  /** The verb between "Vault at <address>" and the operation. */
  readonly says: string
}

/** Marks a response that Vault did not send, with the reason for the message. */
class Foreign {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** What a successful response to these operations contains; the others may be empty (204). */
const CONTENT: Partial<Record<VaultOperation, 'data' | 'auth'>> = {
  encrypt: 'data',
  decrypt: 'data',
  read_key: 'data',
  export_key: 'data',
  lookup_token: 'data',
  login: 'auth',
  renew_token: 'auth',
}

/**
 * Reads a response that is not a redirect. `address` is where it came from, `now` the wall clock for Retry-After.
 * A parser's error is never kept as the cause, because it quotes the text, which may contain a plaintext.
 */
export function readAnswer(raw: RawAnswer, address: string, now: number): Outcome {
  if (raw.bytes !== undefined) return passOn(raw, raw.bytes, address, now)
  const outcome = judgeAnswer(raw, address, now)
  if (outcome instanceof AttemptFailure) for (const secret of raw.secrets) secret.fill(0)
  return outcome
}

const [OBJECT, LIST] = [0x7b, 0x5b]
const COLON = 0x3a
/** Space, tab, line feed and carriage return (RFC 8259, section 2). */
const JSON_SPACES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d])
/** Errors about the request itself. Others, such as 403, are handled by this program: the Vault token may have expired. */
const PASSED_ON: ReadonlySet<ErrorCode> = new Set(['VAULT_REJECTED', 'VAULT_NOT_FOUND'])

/**
 * Passes on a response with data without making it text, because it may contain a plaintext. Vault writes JSON without
 * spaces (Go's encoding/json), but a gateway may write it again with some. An error response contains no plaintext, so it is
 * judged as text.
 */
function passOn(raw: RawAnswer, bytes: Buffer, address: string, now: number): Outcome {
  const isSuccess = raw.status >= 200 && raw.status < 300
  const hasData = bytes[skipSpaces(bytes, 0)] === OBJECT && hasField(bytes, 'data', OBJECT)
  if (hasData && (isSuccess || hasField(bytes, 'batch_results', LIST)))
    return { status: raw.status, body: bytes }
  if (isSuccess) {
    bytes.fill(0)
    return failForeign(new Foreign('without "data"'), raw, address, now)
  }
  return judgeAnswer({ ...raw, text: bytes.toString('utf8') }, address, now)
}

/**
 * Whether JSON contains a field whose value begins with this byte. Inside a string, each quotation mark has a backslash before
 * it.
 */
function hasField(bytes: Buffer, name: string, start: number): boolean {
  const quotedName = Buffer.from(`"${name}"`)
  for (let at = bytes.indexOf(quotedName); at >= 0; at = bytes.indexOf(quotedName, at + 1)) {
    const colon = skipSpaces(bytes, at + quotedName.length)
    if (bytes[colon] === COLON && bytes[skipSpaces(bytes, colon + 1)] === start) return true
  }
  return false
}

function skipSpaces(bytes: Buffer, from: number): number {
  let at = from
  while (JSON_SPACES.has(bytes[at])) at += 1
  return at
}

function judgeAnswer(raw: RawAnswer, address: string, now: number): Outcome {
  const body = parseBody(raw)
  if (body instanceof Foreign) return failForeign(body, raw, address, now)
  // Transit sends batch results with 400 or 500 when an item fails, or with partial_failure_response_code.
  if (hasBatchResults(body)) return { status: raw.status, body }
  if (raw.status >= 200 && raw.status < 300) {
    const foreign = findMissingContent(body, raw.attempt.request.operation)
    return foreign === undefined
      ? { status: raw.status, body }
      : failForeign(foreign, raw, address, now)
  }
  const words = readErrors(raw.status, body)
  if (words instanceof Foreign) return failForeign(words, raw, address, now)
  const verdict = judge(raw, words)
  if (raw.bytes !== undefined && PASSED_ON.has(verdict.code))
    return { status: raw.status, body: raw.bytes }
  return fail(verdict, raw, cleanWords(words, raw.attempt.request), address, now)
}

/**
 * The one table from Vault's error responses to codes (openbao sdk/logical/response_util.go, http/handler.go). Vault
 * distinguishes some cases only by text; they are the only ones decided on text here.
 */
function judge({ status, attempt }: RawAnswer, words: readonly string[]): Verdict {
  const mentions = (part: string) => words.some((text) => text.toLowerCase().includes(part))
  if (status === 403) return { code: 'VAULT_DENIED', retry: 'ask-others', says: 'denies' }
  if (status === 404) return { code: 'VAULT_NOT_FOUND', retry: 'ask-others', says: 'cannot find' }
  if (status === 429)
    return { code: 'VAULT_RATE_LIMITED', retry: 'later', says: 'limits the rate of' }
  if (status === 503 && mentions('sealed')) {
    return {
      code: 'VAULT_SEALED',
      // Auto-unseal takes a second or two after a restart, and another node behind a balancer may be unsealed.
      retry: 'soon',
      says: 'is sealed; until it is unsealed, it refuses',
    }
  }
  if (status === 500 && OF_REQUEST.some(mentions))
    return { code: 'VAULT_REJECTED', retry: 'never', says: 'rejects' }
  // A pod chose the request: as an outage, it would be sent twenty times, and leave this address for others, too.
  if (status === 500 && attempt.request.passesOn === true && words.every(isOfEngine))
    return { code: 'VAULT_REJECTED', retry: 'never', says: 'rejects' }
  if (status === 501)
    return { code: 'VAULT_UNAVAILABLE', retry: 'elsewhere', says: 'is not initialized and cannot' }
  // Vault Enterprise returns this at every path of a disaster recovery secondary except sys/replication.
  if (status === 400 && words.some((text) => DISABLED.test(text)))
    return { code: 'VAULT_UNAVAILABLE', retry: 'elsewhere', says: 'is a DR secondary and cannot' }
  if (status >= 500 || PASSING.has(status))
    return { code: 'VAULT_UNAVAILABLE', retry: 'soon', says: 'cannot currently' }
  const retry = attempt.request.operation === 'login' ? 'ask-others' : 'never'
  return { code: 'VAULT_REJECTED', retry, says: 'rejects' }
}

/**
 * A 500 with one of these texts is the request's own fault: it fails everywhere (openbao builtin/logical/transit/path_encrypt.go,
 * and sdk/helper/keysutil/policy.go for a ciphertext that its RSA key cannot decrypt).
 */
const OF_REQUEST: readonly string[] = ['failed to parse batch input', 'failed to rsa decrypt']

/** At the start, because a client can make its own words a part of an error. */
const DISABLED = /^path disabled in replication dr secondary/i
/** A failed audit, for example. The whole text is compared, because a client can make its own words a part of one. */
const INTERNAL = '1 error occurred:\n\t* internal error'

/**
 * Whether a text of a 500 is the error of a secrets engine, as opposed to a node that has no leader or an internal error (openbao
 * vault/request_handling.go adds each error of an engine to a list). Transit returns 500 for many faults of a request, such as a
 * key version that does not exist or a ciphertext that RSA cannot decrypt.
 */
function isOfEngine(text: string): boolean {
  return /^\d+ errors? occurred:/.test(text) && text.trim() !== INTERNAL
}

/**
 * Statuses below 500 that can end without a change of the request: a request timeout, a connection for another host
 * (RFC 9110 §15.5.9, §15.5.20), a standby that lags behind (412), and the health statuses of Vault Enterprise for a
 * DR secondary (472) and a performance standby (473).
 */
const PASSING: ReadonlySet<number> = new Set([408, 412, 421, 425, 472, 473])

/** The words of Go's net/http and of nginx, which both send with 400, and how much of a page is searched for them. */
const NEEDS_TLS = /HTTP request .*to (?:an )?HTTPS (?:server|port)/i
const MAX_PAGE_LENGTH = 4096

/** Something in front of Vault answered, or another server: an outage once Vault was proven. */
function failForeign(
  foreign: Foreign,
  raw: RawAnswer,
  address: string,
  now: number,
): AttemptFailure {
  if (raw.status === 400 && NEEDS_TLS.test(raw.text.slice(0, MAX_PAGE_LENGTH)))
    return tlsFailure(address, SPEAKS_TLS)
  const isOverload = raw.status >= 500 || raw.status === 429
  const code = raw.status === 429 ? 'VAULT_RATE_LIMITED' : 'VAULT_UNAVAILABLE'
  const operation = nameOperation(raw.attempt.request)
  const message =
    `the response to ${operation} from ${address} is not from Vault ` +
    `(status ${String(raw.status)}, ${foreign.reason}); check vault.address and any proxy in front of Vault`
  const retryAfterMs = waitOf(raw, now)
  return raw.status === 429
    ? new AttemptFailure(new BridgeError(code, message, { retryAfterMs }), 'later', retryAfterMs)
    : new AttemptFailure(
        new BridgeError(isOverload ? code : 'VAULT_ANSWER_INVALID', message),
        'soon',
      )
}

function fail(
  verdict: Verdict,
  raw: RawAnswer,
  words: string,
  address: string,
  now: number,
): AttemptFailure {
  const operation = nameOperation(raw.attempt.request)
  const message = `Vault at ${address} ${verdict.says} ${operation}: ${describe(raw.status, words)}`
  const retryAfterMs = waitOf(raw, now)
  const error = new BridgeError(verdict.code, message, { retryAfterMs })
  const waitMs = verdict.retry === 'later' ? retryAfterMs : undefined
  return new AttemptFailure(error, verdict.retry, waitMs)
}

function waitOf(raw: RawAnswer, now: number): number | undefined {
  return readWait(raw.retryAfter, raw.rateLimitReset, now)
}

function describe(status: number, words: string): string {
  return words === '' ? `status ${String(status)}` : `${words} (status ${String(status)})`
}

/** An empty response is undefined. Vault's JSON is always an object. */
function parseBody(raw: SealedText): object | undefined | Foreign {
  if (raw.text === '') return undefined
  try {
    const body = parseSealed(raw)
    return typeof body === 'object' && body !== null && !Array.isArray(body)
      ? body
      : new Foreign('not a JSON object')
  } catch {
    return new Foreign('not JSON')
  }
}

function findMissingContent(
  body: object | undefined,
  operation: VaultOperation,
): Foreign | undefined {
  const field = CONTENT[operation]
  if (field === undefined) return undefined
  const content: unknown = body === undefined ? undefined : Reflect.get(body, field)
  return typeof content === 'object' && content !== null
    ? undefined
    : new Foreign(`without "${field}"`)
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

/**
 * The texts of an error response. Vault sends a list of strings with every error; it is empty only for a path with
 * nothing in it (404), an unsupported method (405) and some statuses that are outages anyway
 * (openbao sdk/logical/response_util.go, RespondError).
 */
function readErrors(status: number, body: object | undefined): readonly string[] | Foreign {
  if (body === undefined) return new Foreign('empty')
  const errors: unknown = 'errors' in body ? body.errors : undefined
  if (!Array.isArray(errors) || !errors.every((error) => typeof error === 'string'))
    return new Foreign('without a list of errors')
  const mayBeEmpty = status === 404 || status === 405 || status === 429 || status >= 472
  return errors.length > 0 || mayBeEmpty ? errors : new Foreign('with an empty list of errors')
}
