import { BridgeError } from '../../errors.ts'
import { AttemptFailure, type Retry } from './attempt.ts'

/** What happened, in words, by the code of Node's or undici's error. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name could not be looked up now',
  EAI_FAIL: 'the host name could not be looked up',
  EHOSTUNREACH: 'no route to the host',
  EHOSTDOWN: 'the host is down',
  ENETUNREACH: 'the network is unreachable',
  ENETDOWN: 'the network is down',
  ETIMEDOUT: 'no connection within the time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within the time',
  EADDRNOTAVAIL: 'no local port is free',
  EMFILE: 'too many files are open in this process',
  ENFILE: 'too many files are open on this host',
  ECONNRESET: 'the connection was reset',
  ECONNABORTED: 'the connection was aborted',
  EPIPE: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_DESTROYED: 'the connection was closed',
  UND_ERR_CLOSED: 'the connection was closed',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the answer was cut off',
  HPE_INVALID_EOF_STATE: 'the answer was cut off',
}

/** A connection that was kept too long fails so; a new one may work (RFC 9112 §9.3.1). */
const STALE = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'UND_ERR_SOCKET'])

const UNTRUSTED =
  'is signed by an authority that is not trusted; set vault.caFile to the certificate of that authority'
const EXPIRED = 'is outside its time of validity; renew it, or correct the clock of this host'
const PLAIN = 'answers without TLS; write http:// in vault.address or name the TLS port'
const CLIENT =
  'refuses the client certificate; check vault.auth.certFile and the authority that vault trusts'

/** What is wrong with TLS and what to do, by the code of Node's or OpenSSL's error (node doc/api/tls.md). */
const TLS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: `has a certificate that ${UNTRUSTED}`,
  SELF_SIGNED_CERT_IN_CHAIN: `has a certificate that ${UNTRUSTED}`,
  UNABLE_TO_GET_ISSUER_CERT: `has a certificate that ${UNTRUSTED}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `has a certificate that ${UNTRUSTED}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `has a certificate that ${UNTRUSTED}`,
  CERT_SIGNATURE_FAILURE: `has a certificate that ${UNTRUSTED}`,
  CERT_UNTRUSTED: `has a certificate that ${UNTRUSTED}`,
  CERT_HAS_EXPIRED: `has a certificate that ${EXPIRED}`,
  CERT_NOT_YET_VALID: `has a certificate that ${EXPIRED}`,
  CERT_REVOKED: 'has a certificate that is revoked; give vault a new one',
  INVALID_PURPOSE:
    'has a certificate that is not meant for servers; give vault one with serverAuth',
  INVALID_CA: 'has a certificate whose issuer is no certificate authority; check vault.caFile',
  HOSTNAME_MISMATCH: 'has a certificate for another name; set vault.serverName to a name in it',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'has a certificate for another name; set vault.serverName to a name in it, or correct vault.address',
  ERR_SSL_WRONG_VERSION_NUMBER: PLAIN,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: PLAIN,
}

/**
 * The same for what the server says by an alert. The middle of these codes changes with OpenSSL
 * (SSLV3, TLSV1, TLSV13, SSL/TLS), the end does not (RFC 8446 §6.2).
 */
const ALERTS: readonly (readonly [RegExp, string])[] = [
  [
    /ALERT_CERTIFICATE_REQUIRED$/,
    'requires a client certificate; set vault.auth.certFile and vault.auth.keyFile',
  ],
  [
    /ALERT_HANDSHAKE_FAILURE$/,
    'refuses the TLS handshake; if it requires a client certificate, set vault.auth.certFile and vault.auth.keyFile',
  ],
  [/ALERT_(?:UNKNOWN_CA|(?:BAD|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_[A-Z]+)$/, CLIENT],
  [/ALERT_PROTOCOL_VERSION$/, 'speaks only TLS versions older than 1.2'],
  [/ALERT_UNRECOGNIZED_NAME$/, 'does not know the name it is asked for; check vault.serverName'],
]

/** Sentence for an address at which TLS answers although vault.address says http. */
export const SPEAKS_TLS = 'answers with TLS; write https:// in vault.address'

/** What a failed connection or a broken answer means. `answered`: bytes of the answer had come before. */
export function readNetworkFailure(
  thrown: unknown,
  address: string,
  answered: boolean,
): AttemptFailure {
  const codes = [...codesOf(thrown)]
  const known = codes.find((code) => code in TLS || code in UNREACHABLE) ?? codes[0] ?? ''
  if (isParserFault(thrown) && !(known in UNREACHABLE)) return readParserFailure(thrown, address)
  if (isTls(known)) return tlsFailure(address, describeTls(known), thrown)
  if (known === 'UND_ERR_HEADERS_OVERFLOW') {
    return failure(
      'VAULT_ANSWER_INVALID',
      `vault at ${address} sent too long headers`,
      'elsewhere',
      thrown,
    )
  }
  if (known === 'UND_ERR_INVALID_ARG') {
    return failure(
      'VAULT_REJECTED',
      `a request to vault could not be built: ${textOf(thrown)}`,
      'never',
      thrown,
    )
  }
  const words = answered
    ? 'the answer was cut off'
    : (UNREACHABLE[known] ?? 'the connection failed')
  const retry = STALE.has(known) && !answered ? 'at-once' : 'soon'
  return failure(
    'VAULT_UNREACHABLE',
    `vault at ${address} cannot be reached: ${words}`,
    retry,
    thrown,
  )
}

/** A TLS fault is a refusal: somebody must mend it, and this address stays as it is. */
export function tlsFailure(address: string, words: string, cause?: unknown): AttemptFailure {
  return failure('VAULT_TLS_INVALID', `vault at ${address} ${words}`, 'elsewhere', cause)
}

function describeTls(code: string): string {
  const alert = ALERTS.find(([pattern]) => pattern.test(code))?.[1]
  return TLS[code] ?? alert ?? `refuses the TLS handshake (${code})`
}

function isTls(code: string): boolean {
  return (
    code in TLS || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO'
  )
}

/** undici gives such an error a code only sometimes (lib/dispatcher/client-h1.js, createError). */
function isParserFault(thrown: unknown): thrown is Error {
  return thrown instanceof Error && thrown.name === 'HTTPParserError'
}

/** llhttp could not read the answer. A TLS record begins with its type, 0x15 for an alert (RFC 8446 §5.1). */
function readParserFailure(thrown: Error, address: string): AttemptFailure {
  const data = 'data' in thrown ? thrown.data : undefined
  if (typeof data === 'string' && data.startsWith('\u0015\u0003')) {
    return tlsFailure(address, SPEAKS_TLS)
  }
  // Without the cause: it holds a piece of the answer.
  return failure('VAULT_ANSWER_INVALID', `vault at ${address} did not answer in HTTP`, 'elsewhere')
}

/** The codes along the chain of causes, outermost first; an AggregateError counts for its members (RFC 8305). */
function* codesOf(thrown: unknown, depth = 0): Generator<string> {
  if (!(thrown instanceof Error) || depth > 8) return
  if ('code' in thrown && typeof thrown.code === 'string') yield thrown.code
  if (thrown instanceof AggregateError) {
    for (const member of thrown.errors) yield* codesOf(member, depth + 1)
  }
  yield* codesOf(thrown.cause, depth + 1)
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : 'unknown'
}

function failure(
  code: BridgeError['code'],
  message: string,
  retry: Retry,
  cause?: unknown,
): AttemptFailure {
  return new AttemptFailure(new BridgeError(code, message, { cause }), retry)
}
