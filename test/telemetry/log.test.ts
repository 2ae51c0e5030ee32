import { inspect } from 'node:util'
import { test } from 'tap'
import { BridgeError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { describeError } from '../../src/telemetry/log.ts'
import { memoryLog } from '../fakes/log.ts'

void test('an error is written with its code and its chain of causes', (t) => {
  const { log, lines } = memoryLog()
  const root = Object.assign(new Error('connect'), { code: 'ECONNREFUSED', errno: -111 })
  const error = new BridgeError('VAULT_UNREACHABLE', 'no answer', { cause: root })
  log.error({ err: error }, 'failed')
  t.match(lines, [
    {
      msg: 'failed',
      err: {
        type: 'BridgeError',
        code: 'VAULT_UNREACHABLE',
        message: 'no answer',
        stack: /log\.test/,
        cause: { type: 'Error', code: 'ECONNREFUSED', message: 'connect' },
      },
    },
  ])
  t.end()
})

void test('no other field of an error is written: they may hold a request', (t) => {
  const secret = 'hvs.SECRET'
  const error = Object.assign(new Error('bad answer'), {
    response: { body: { auth: { client_token: secret } } },
    options: { headers: { 'X-Vault-Token': secret } },
    code: { token: secret },
    cause: { token: secret },
  })
  const { log, lines } = memoryLog()
  log.error({ err: error })
  t.notMatch(JSON.stringify(lines), secret)
  const described = JSON.parse(JSON.stringify(describeError(error))) as object
  t.same(Object.keys(described).toSorted(), ['cause', 'message', 'stack', 'type'])
  t.end()
})

for (const thrown of ['hvs.SECRET', { token: 'hvs.SECRET' }, ['hvs.SECRET'], null, undefined]) {
  void test(`a thrown value that is not an error (${typeof thrown}) is named by its type only`, (t) => {
    t.same(describeError(thrown), { type: typeof thrown, message: 'not an error object' })
    t.end()
  })
}

void test('a chain of causes that is a circle is written once and ends', (t) => {
  const one = new Error('one')
  const two = new Error('two', { cause: one })
  one.cause = two
  const { log, lines } = memoryLog()
  log.error({ err: one }, 'failed')
  t.match(lines, [
    { err: { message: 'one', cause: { message: 'two', cause: { message: 'one' } } } },
  ])
  t.end()
})

const WAYS: readonly (readonly [string, (secret: Secret<string>) => string])[] = [
  ['a template string', (secret) => `token ${secret as unknown as string}`],
  ['joining', (secret) => 'x' + String(secret)],
  ['JSON', (secret) => JSON.stringify({ token: secret, list: [secret] })],
  ['inspect', (secret) => inspect({ deep: { token: secret } }, { depth: null })],
  ['inspect with hidden fields', (secret) => inspect(secret, { showHidden: true })],
  ['inspect without custom functions', (secret) => inspect(secret, { customInspect: false })],
  [
    'an error message',
    (secret) => new Error(`login with ${secret as unknown as string}`).stack ?? '',
  ],
  ['its keys', (secret) => JSON.stringify(Object.entries(secret))],
  ['a clone', (secret) => inspect(structuredClone(secret))],
  [
    'a log line',
    (secret) => {
      const { log, lines } = memoryLog()
      log.info({ token: secret, err: new Error('x', { cause: secret }) }, 'login with %s', secret)
      return JSON.stringify(lines)
    },
  ],
]

for (const [what, print] of WAYS) {
  void test(`a secret does not show in ${what}`, (t) => {
    t.notMatch(print(new Secret('hvs.SECRET')), 'SECRET')
    t.end()
  })
}

void test('a secret is revealed on request, and is [secret] otherwise', (t) => {
  const secret = new Secret('hvs.SECRET')
  t.equal(secret.reveal(), 'hvs.SECRET')
  t.equal(String(secret), '[secret]')
  t.equal(JSON.stringify(secret), '"[secret]"')
  t.equal(inspect(secret), '[secret]')
  t.end()
})
