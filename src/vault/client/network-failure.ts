import { BridgeError } from '../../errors.ts'
import { AttemptFailure, type Retry } from './attempt.ts'

/** What happened, by the code of Node's or undici's error. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'unknown host name',
  EAI_AGAIN: 'the host name cannot be looked up right now',
  EAI_FAIL: 'the host name cannot be looked up',
  EHOSTUNREACH: 'no route to the host',
  EHOSTDOWN: 'the host is down',
  ENETUNREACH: 'the network is unreachable',
  ENETDOWN: 'the network is down',
  ETIMEDOUT: 'the connection timed out',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  EADDRNOTAVAIL: 'no local port is free',
  EMFILE: 'too many files are open in this process',
  ENFILE: 'too many files are open on this host',
  ECONNRESET: 'the connection was reset',
  ECONNABORTED: 'the connection was aborted',
  EPIPE: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_DESTROYED: 'the connection was closed',
  UND_ERR_CLOSED: 'the connection was closed',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the response was cut off',
  HPE_INVALID_EOF_STATE: 'the response was cut off',
}

/** Errors of a kept-alive connection that the server has closed; a new one may work (RFC 9112 §9.3.1). */
const STALE = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'UND_ERR_SOCKET'])

const UNTRUSTED =
  'is signed by an untrusted authority; set vault.caFile to the certificate of that authority'
const EXPIRED = 'is outside its validity period; renew it, or correct the clock of this host'
const PLAIN = 'responds without TLS; use http:// in vault.address, or the TLS port'
const CLIENT =
  'refuses the client certificate; check vault.clientCertFile (or vault.auth.certFile) and the authority that Vault trusts'

/** What is wrong with TLS and what to do, by the code of Node's or OpenSSL's error (Node's doc/api/tls.md). */
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
  CERT_REVOKED: 'has a revoked certificate; issue a new one for Vault',
  INVALID_PURPOSE:
    'has a certificate that is not for servers; issue one with the extended key usage serverAuth',
  INVALID_CA: 'has a certificate whose issuer is not a certificate authority; check vault.caFile',
  HOSTNAME_MISMATCH: 'has a certificate for another name; set vault.serverName to a name in it',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'has a certificate for another name; set vault.serverName to a name in it, or correct vault.address',
  ERR_SSL_WRONG_VERSION_NUMBER: PLAIN,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: PLAIN,
}

/**
 * The same for alerts that the server sends. The middle of these codes depends on the OpenSSL version
 * (SSLV3, TLSV1, TLSV13, SSL/TLS); the end does not (RFC 8446 §6.2).
 */
const ALERTS: readonly (readonly [RegExp, string])[] = [
  [
    /ALERT_CERTIFICATE_REQUIRED$/,
    'requires a client certificate; set vault.clientCertFile and vault.clientKeyFile',
  ],
  [
    /ALERT_HANDSHAKE_FAILURE$/,
    'refuses the TLS handshake; if it requires a client certificate, set vault.clientCertFile and vault.clientKeyFile',
  ],
  [/ALERT_(?:UNKNOWN_CA|(?:BAD|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_[A-Z]+)$/, CLIENT],
  [/ALERT_PROTOCOL_VERSION$/, 'supports only TLS versions older than 1.2'],
  [/ALERT_UNRECOGNIZED_NAME$/, 'does not know the requested server name; check vault.serverName'],
]

/** For an address that serves TLS although vault.address says http. */
export const SPEAKS_TLS = 'responds with TLS; use https:// in vault.address'

/** What a failed connection or a broken response means. `answered`: part of the response had arrived before. */
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
      `Vault at ${address} sent headers that are too long`,
      'elsewhere',
      thrown,
    )
  }
  if (known === 'UND_ERR_INVALID_ARG') {
    return failure(
      'INTERNAL',
      `a request to Vault could not be built: ${textOf(thrown)}`,
      'never',
      thrown,
    )
  }
  const words = answered
    ? 'the response was cut off'
    : (UNREACHABLE[known] ?? 'the connection failed')
  const retry = STALE.has(known) && !answered ? 'at-once' : 'soon'
  return failure('VAULT_UNREACHABLE', `Vault at ${address} is unreachable: ${words}`, retry, thrown)
}

/** A TLS fault does not end without a change: another address is tried, or another node behind this one. */
export function tlsFailure(address: string, words: string, cause?: unknown): AttemptFailure {
  return failure('VAULT_TLS_INVALID', `Vault at ${address} ${words}`, 'elsewhere', cause)
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

/** undici sets a code on such an error only sometimes (lib/dispatcher/client-h1.js, createError). */
function isParserFault(thrown: unknown): thrown is Error {
  return thrown instanceof Error && thrown.name === 'HTTPParserError'
}

/** llhttp could not parse the response. A TLS record starts with its type, 0x15 for an alert (RFC 8446 §5.1). */
function readParserFailure(thrown: Error, address: string): AttemptFailure {
  const data = 'data' in thrown ? thrown.data : undefined
  if (typeof data === 'string' && data.startsWith('\u0015\u0003')) {
    return tlsFailure(address, SPEAKS_TLS)
  }
  // Without the cause, which contains a part of the response.
  return failure('VAULT_ANSWER_INVALID', `Vault at ${address} did not respond in HTTP`, 'elsewhere')
}

/** The codes along the chain of causes, outermost first, with the members of an AggregateError (RFC 8305). */
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
