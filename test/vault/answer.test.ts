import { test } from 'tap'
import { isOutage } from '../../src/errors.ts'
import { readAnswer, type RawAnswer } from '../../src/vault/client/answer.ts'
import { AttemptFailure } from '../../src/vault/client/attempt.ts'
import { decrypt } from './client-fixture.ts'

const NOW = Date.UTC(2026, 0, 1)

function raw(status: number, body: unknown, more: Partial<RawAnswer> = {}): RawAnswer {
  return {
    attempt: { request: decrypt, context: { deadline: 0 }, endsAt: 0 },
    status,
    text: typeof body === 'string' ? body : JSON.stringify(body),
    secrets: [],
    retryAfter: undefined,
    connection: undefined,
    rateLimitReset: undefined,
    location: undefined,
    ...more,
  }
}

const read = (answer: RawAnswer) => readAnswer(answer, 'https://vault:8200', NOW)
const refused = (answer: RawAnswer): AttemptFailure => {
  const outcome = read(answer)
  if (outcome instanceof AttemptFailure) return outcome
  throw new Error('taken as an answer')
}

/** Status, Vault's text, code, where it is tried again. Texts are those of OpenBao 2.6 and Vault 1.21. */
const ROWS = [
  [400, 'encryption key not found', 'VAULT_REJECTED', 'never'],
  [400, 'refusing to use soft-deleted key', 'VAULT_REJECTED', 'never'],
  [400, 'invalid ciphertext: version is too new', 'VAULT_REJECTED', 'never'],
  [400, 'cipher: message authentication failed', 'VAULT_REJECTED', 'never'],
  [403, 'permission denied', 'VAULT_DENIED', 'ask-others'],
  [403, 'invalid token', 'VAULT_DENIED', 'ask-others'],
  [404, 'no handler for route "x". route entry not found.', 'VAULT_NOT_FOUND', 'ask-others'],
  [404, 'namespace not found', 'VAULT_NOT_FOUND', 'ask-others'],
  [405, 'unsupported operation', 'VAULT_REJECTED', 'never'],
  [400, 'path disabled in replication DR secondary mode', 'VAULT_UNAVAILABLE', 'elsewhere'],
  [404, '', 'VAULT_NOT_FOUND', 'ask-others'],
  [405, '', 'VAULT_REJECTED', 'never'],
  [412, 'required index state not present', 'VAULT_UNAVAILABLE', 'soon'],
  [413, 'request body too large', 'VAULT_REJECTED', 'never'],
  [429, 'request path "x": rate limit quota exceeded', 'VAULT_RATE_LIMITED', 'later'],
  [472, '', 'VAULT_UNAVAILABLE', 'soon'],
  [473, '', 'VAULT_UNAVAILABLE', 'soon'],
  [500, 'failed to parse batch input: x', 'VAULT_REJECTED', 'never'],
  [500, 'failed to RSA decrypt the ciphertext: x', 'VAULT_REJECTED', 'never'],
  [500, 'internal error', 'VAULT_UNAVAILABLE', 'soon'],
  [500, 'local node not active but active cluster node not found', 'VAULT_UNAVAILABLE', 'soon'],
  [501, '', 'VAULT_UNAVAILABLE', 'elsewhere'],
  [502, '', 'VAULT_UNAVAILABLE', 'soon'],
  [503, 'Vault is sealed', 'VAULT_SEALED', 'soon'],
  [503, 'namespace is sealed', 'VAULT_SEALED', 'soon'],
  [503, 'node is not active', 'VAULT_UNAVAILABLE', 'soon'],
] as const

for (const [status, text, code, retry] of ROWS) {
  void test(`${String(status)} "${text}" is ${code}, tried again ${retry}`, async (s) => {
    const { error, ...failure } = refused(raw(status, { errors: text === '' ? [] : [text] }))
    s.equal(error.code, code)
    s.equal(failure.retry, retry)
    const words = text.replace(/\.$/, '')
    s.equal(
      error.message.endsWith(
        `${words}${text === '' ? '' : ' ('}status ${String(status)}${text === '' ? '' : ')'}`,
      ),
      true,
      error.message,
    )
  })
}

/** Responses to a request that a pod chose: texts of OpenBao 2.7 and Vault 1.17. */
const PASSED_ON = [
  [500, '1 error occurred:\n\t* crypto/rsa: decryption error\n\n', undefined],
  [500, '1 error occurred:\n\t* unsupported rsa signature algorithm internal error\n\n', undefined],
  [500, '1 error occurred:\n\t* internal error\n\n', 'VAULT_UNAVAILABLE'],
  [500, 'local node not active but active cluster node not found', 'VAULT_UNAVAILABLE'],
  [400, 'unsupported encoding format "dr secondary"', undefined],
  [400, 'path disabled in replication DR secondary mode', 'VAULT_UNAVAILABLE'],
] as const

for (const [status, text, code] of PASSED_ON) {
  const what = code ?? 'a response for it'
  void test(`${String(status)} "${text.trim()}" to a pod is ${what}`, async (t) => {
    const bytes = Buffer.from(JSON.stringify({ errors: [text] }))
    const attempt = {
      request: { ...decrypt, passesOn: true },
      context: { deadline: 0 },
      endsAt: 0,
    }
    const outcome = read(raw(status, '', { attempt, bytes }))
    if (code === undefined) t.same(outcome, { status, body: bytes })
    else t.match(outcome, { error: { code } })
  })
}

void test('a batch with failed items is an answer, regardless of its status', async (t) => {
  const body = { data: { batch_results: [{ error: 'x' }] } }
  for (const status of [200, 207, 400, 500, 503])
    t.strictSame(read(raw(status, body)), { status, body })
})

void test('an empty response has no body', async (t) => {
  const revoke = { ...decrypt, operation: 'revoke_token' } as const
  const attempt = { request: revoke, context: { deadline: 0 }, endsAt: 0 }
  t.strictSame(read(raw(204, '', { attempt })), { status: 204, body: undefined })
})

void test('a rejected login may be accepted at another address', async (t) => {
  const login = { ...decrypt, operation: 'login' } as const
  const attempt = { request: login, context: { deadline: 0 }, endsAt: 0 }
  const failure = refused(raw(400, { errors: ['role "x" could not be found'] }, { attempt }))
  t.match(failure, { error: { code: 'VAULT_REJECTED' }, retry: 'ask-others' })
})

void test('all errors of a response are reported', async (t) => {
  t.match(refused(raw(400, { errors: ['one', 'two'] })).error.message, 'one; two')
})

/** What gateways, login pages and other servers send in place of Vault. */
const FOREIGN: readonly (readonly [status: number, body: unknown])[] = [
  [200, '<html>Sign in</html>'],
  [200, {}],
  [200, { status: 'ok' }],
  [200, { data: 'c2VjcmV0' }],
  [204, ''],
  [400, 'Bad Request'],
  [400, ''],
  [400, { errors: [] }],
  [401, { errors: [{ code: 'UNAUTHORIZED', message: 'c2VjcmV0' }] }],
  [403, { message: 'c2VjcmV0' }],
  [403, { errors: 'c2VjcmV0' }],
  [403, { errors: [] }],
  [403, 'RBAC: access denied'],
  [404, { message: 'no Route matched with those values' }],
  [404, 'default backend - 404'],
  [404, ''],
  [407, ''],
  [408, '<html>c2VjcmV0</html>'],
  [410, 'Gone'],
  [418, {}],
  [421, ''],
  [425, 'Too Early'],
  [431, '{"data":{"plaintext":"c2VjcmV0'],
]

for (const [status, body] of FOREIGN) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  void test(`${String(status)} ${text} is not from Vault: an outage, tried again`, async (t) => {
    const { error, retry } = refused(raw(status, body))
    t.equal(error.code, 'VAULT_ANSWER_INVALID')
    t.equal(isOutage(error), true)
    t.equal(retry, 'soon')
    t.match(error.message, /is not from Vault/)
    t.notMatch(error.message, 'c2VjcmV0', 'the text of a stranger is not repeated')
    t.equal(error.cause, undefined)
  })
}

void test('an overloaded gateway is recognized by its status', async (t) => {
  for (const [status, code] of [
    [429, 'VAULT_RATE_LIMITED'],
    [500, 'VAULT_UNAVAILABLE'],
    [502, 'VAULT_UNAVAILABLE'],
    [503, 'VAULT_UNAVAILABLE'],
    [504, 'VAULT_UNAVAILABLE'],
  ] as const) {
    const { error } = refused(raw(status, '<html>c2VjcmV0</html>'))
    t.equal(error.code, code)
    t.notMatch(error.message, 'c2VjcmV0')
  }
})

void test('JSON that is not an object is not from Vault', async (t) => {
  for (const text of ['null', '[]', '1', '"x"']) {
    t.equal(refused(raw(200, text)).error.code, 'VAULT_ANSWER_INVALID')
  }
})

void test('a server that requires TLS is recognized by its message', async (t) => {
  for (const text of [
    'Client sent an HTTP request to an HTTPS server.\n',
    '<center>The plain HTTP request was sent to HTTPS port</center>',
  ]) {
    const { error } = refused(raw(400, text))
    t.equal(error.code, 'VAULT_TLS_INVALID')
    t.match(error.message, 'use https:// in vault.address')
  }
})

void test('the wait that a rate limit asks for is read from its headers', async (t) => {
  const limited = (more: Partial<RawAnswer>) => refused(raw(429, { errors: [] }, more)).waitMs
  t.equal(limited({}), undefined)
  t.equal(limited({ retryAfter: '2' }), 2000)
  t.equal(limited({ retryAfter: 'Thu, 01 Jan 2026 00:00:03 GMT' }), 3000)
  t.equal(limited({ retryAfter: 'Thu, 01 Jan 2025 00:00:03 GMT' }), 0)
  t.equal(limited({ retryAfter: '99999999999' }), 99_999_999_999_000)
  t.equal(limited({ retryAfter: '2', rateLimitReset: '9' }), 2000)
  t.equal(limited({ rateLimitReset: '9' }), 9000)
  for (const retryAfter of ['', '-1', 'soon', '1.5']) t.equal(limited({ retryAfter }), undefined)
})
