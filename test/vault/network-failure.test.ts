import { test } from 'tap'
import { readNetworkFailure } from '../../src/vault/client/network-failure.ts'

const ADDRESS = 'https://vault:8200'

function coded(code: string, cause?: unknown): Error {
  return Object.assign(new Error('x', { cause }), { code })
}

/** Code, our code, words, where it is tried again. */
const ROWS = [
  ['ECONNREFUSED', 'VAULT_UNREACHABLE', 'connection refused', 'soon'],
  ['ENOTFOUND', 'VAULT_UNREACHABLE', 'unknown host name', 'soon'],
  ['EAI_AGAIN', 'VAULT_UNREACHABLE', 'cannot be looked up', 'soon'],
  ['EHOSTUNREACH', 'VAULT_UNREACHABLE', 'no route', 'soon'],
  ['ETIMEDOUT', 'VAULT_UNREACHABLE', 'the connection timed out', 'soon'],
  ['UND_ERR_CONNECT_TIMEOUT', 'VAULT_UNREACHABLE', 'the connection timed out', 'soon'],
  ['ECONNRESET', 'VAULT_UNREACHABLE', 'reset', 'at-once'],
  ['EPIPE', 'VAULT_UNREACHABLE', 'closed', 'at-once'],
  ['UND_ERR_SOCKET', 'VAULT_UNREACHABLE', 'closed', 'at-once'],
  ['EWHATEVER', 'VAULT_UNREACHABLE', 'the connection failed', 'soon'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'VAULT_TLS_INVALID', 'vault.caFile', 'elsewhere'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'VAULT_TLS_INVALID', 'vault.caFile', 'elsewhere'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'VAULT_TLS_INVALID', 'vault.caFile', 'elsewhere'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'VAULT_TLS_INVALID', 'vault.caFile', 'elsewhere'],
  ['CERT_HAS_EXPIRED', 'VAULT_TLS_INVALID', 'renew it', 'elsewhere'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'VAULT_TLS_INVALID', 'vault.serverName', 'elsewhere'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'VAULT_TLS_INVALID', 'use http://', 'elsewhere'],
  [
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    'VAULT_TLS_INVALID',
    'vault.clientCertFile',
    'elsewhere',
  ],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'VAULT_TLS_INVALID', 'refuses the client', 'elsewhere'],
  [
    'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED',
    'VAULT_TLS_INVALID',
    'refuses the client',
    'elsewhere',
  ],
  ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'VAULT_TLS_INVALID', 'if it requires', 'elsewhere'],
  ['ERR_SSL_SOMETHING_NEW', 'VAULT_TLS_INVALID', 'ERR_SSL_SOMETHING_NEW', 'elsewhere'],
  ['EPROTO', 'VAULT_TLS_INVALID', 'EPROTO', 'elsewhere'],
  ['UND_ERR_HEADERS_OVERFLOW', 'VAULT_ANSWER_INVALID', 'too long', 'elsewhere'],
  ['UND_ERR_INVALID_ARG', 'INTERNAL', 'could not be built', 'never'],
] as const

for (const [code, expected, words, retry] of ROWS) {
  void test(`${code} is ${expected}: ${words}`, async (s) => {
    const failure = readNetworkFailure(coded(code), ADDRESS, false)
    s.equal(failure.error.code, expected)
    s.match(failure.error.message, words)
    s.equal(failure.retry, retry)
  })
}

void test('the reason is found along the chain of causes and in an AggregateError', async (t) => {
  const wrapped = coded('UND_ERR', coded('ECONNREFUSED'))
  t.match(readNetworkFailure(wrapped, ADDRESS, false).error.message, 'connection refused')
  const aggregate = new AggregateError([coded('EHOSTUNREACH'), coded('ECONNREFUSED')])
  t.match(readNetworkFailure(aggregate, ADDRESS, false).error.message, 'no route to the host')
  const loop = new Error('x')
  loop.cause = loop
  t.equal(readNetworkFailure(loop, ADDRESS, false).error.code, 'VAULT_UNREACHABLE')
  t.equal(readNetworkFailure('text', ADDRESS, false).error.code, 'VAULT_UNREACHABLE')
})

void test('an answer that had begun was cut off, and its connection was not stale', async (t) => {
  const failure = readNetworkFailure(coded('UND_ERR_SOCKET'), ADDRESS, true)
  t.match(failure.error.message, 'the response was cut off')
  t.equal(failure.retry, 'soon')
})

void test('a response that is not HTTP is reported without any part of it', async (t) => {
  for (const code of [undefined, 'HPE_INVALID_CONSTANT']) {
    const thrown = Object.assign(new Error('x'), { name: 'HTTPParserError', code, data: 'SSH-2.0' })
    const { error } = readNetworkFailure(thrown, ADDRESS, false)
    t.equal(error.code, 'VAULT_ANSWER_INVALID')
    t.equal(error.cause, undefined)
    t.notMatch(error.message, 'SSH')
  }
  const alert = Object.assign(new Error('x'), {
    name: 'HTTPParserError',
    data: '\u0015\u0003\u0003',
  })
  t.equal(readNetworkFailure(alert, ADDRESS, false).error.code, 'VAULT_TLS_INVALID')
})
