import { test } from 'tap'
import { isSameKey, parseTransitKey, requireWrappingKey } from '../../src/transit/key.ts'

const CREATED = 1_790_000_000

/** The answer for a new key of type aes256-gcm96. */
const symmetric = {
  name: 'k8s-etcd',
  type: 'aes256-gcm96',
  latest_version: 2,
  min_decryption_version: 1,
  min_encryption_version: 0,
  derived: false,
  keys: { 1: CREATED, 2: CREATED + 60 },
}

const body = (change: object = {}) => ({ data: { ...symmetric, ...change } })

void test('a symmetric key is read with its versions and their creation times', (t) => {
  t.same(parseTransitKey(body()), {
    name: 'k8s-etcd',
    type: 'aes256-gcm96',
    latestVersion: 2,
    minDecryptionVersion: 1,
    minEncryptionVersion: 0,
    derived: false,
    softDeleted: false,
    versions: new Map([
      [1, { createdAt: CREATED }],
      [2, { createdAt: CREATED + 60 }],
    ]),
  })
  t.end()
})

void test('an asymmetric key is read with its public keys; times are cut to seconds', (t) => {
  const key = parseTransitKey(
    body({
      type: 'ed25519',
      keys: {
        2: { creation_time: '2026-09-21T14:13:20.987654321+02:00', public_key: 'AAAA', name: 'x' },
      },
    }),
  )
  t.same(key.versions.get(2), {
    createdAt: Date.UTC(2026, 8, 21, 12, 13, 20) / 1000,
    publicKey: 'AAAA',
  })
  t.end()
})

const DEFECTS: readonly (readonly [string, unknown])[] = [
  ['no answer', undefined],
  ['a text', 'ok'],
  ['no data', { errors: [] }],
  ['no name', body({ name: undefined })],
  ['a type that is a number', body({ type: 7 })],
  ['latest version 0', body({ latest_version: 0 })],
  ['a latest version that is no whole number', body({ latest_version: 1.5 })],
  ['a latest version that is a text', body({ latest_version: '2' })],
  ['no versions', body({ keys: undefined })],
  ['a version made at 0', body({ keys: { 1: 0 } })],
  ['a version without a time', body({ keys: { 1: {} } })],
  ['a version with a time that is none', body({ keys: { 1: { creation_time: 'yesterday' } } })],
  [
    'a public key that is a number',
    body({ keys: { 1: { creation_time: '2026-01-01T00:00:00Z', public_key: 1 } } }),
  ],
  ['a version that is no number', body({ keys: { latest: CREATED } })],
]

for (const [what, answer] of DEFECTS) {
  void test(`${what} is VAULT_ANSWER_INVALID`, (t) => {
    t.throws(() => parseTransitKey(answer), { code: 'VAULT_ANSWER_INVALID' })
    t.end()
  })
}

void test('types whose versions Vault does not list are read without creation times', (t) => {
  for (const type of ['hmac', 'aes128-cmac', 'a-future-type']) {
    const answer = body({ type, keys: undefined, latest_version: 2 })
    t.same([...parseTransitKey(answer).versions.keys()], [1, 2], type)
  }
  t.end()
})

for (const type of ['aes256-gcm96', 'aes128-gcm96', 'chacha20-poly1305', 'xchacha20-poly1305']) {
  void test(`a key of type ${type} can wrap`, (t) => {
    t.doesNotThrow(() => requireWrappingKey(parseTransitKey(body({ type }))))
    t.end()
  })
}

const UNSUITABLE: readonly (readonly [string, object, { code: string; message?: RegExp }])[] = [
  ['rsa-4096', { type: 'rsa-4096' }, { code: 'KEY_UNSUITABLE', message: /type rsa-4096/ }],
  ['ed25519', { type: 'ed25519' }, { code: 'KEY_UNSUITABLE', message: /aes256-gcm96/ }],
  ['aes256-cbc', { type: 'aes256-cbc' }, { code: 'KEY_UNSUITABLE' }],
  ['a derived key', { derived: true }, { code: 'KEY_UNSUITABLE', message: /without "derived"/ }],
  [
    'a soft-deleted key',
    { soft_deleted: true },
    { code: 'KEY_MISSING', message: /keys\/k8s-etcd\/soft-delete-restore/ },
  ],
]

for (const [what, change, expected] of UNSUITABLE) {
  void test(`${what} cannot wrap, and the message says what to do`, (t) => {
    t.throws(() => requireWrappingKey(parseTransitKey(body(change))), expected)
    t.end()
  })
}

void test('two answers are about one key if the versions in both were created in the same second', (t) => {
  const key = (keys: Record<number, number>, latest: number) =>
    parseTransitKey(body({ keys, latest_version: latest }))
  const known = key({ 1: CREATED, 2: CREATED + 9 }, 2)
  t.ok(isSameKey(known, key({ 1: CREATED }, 1)), 'a standby that lags, or an older backup')
  t.ok(isSameKey(known, key({ 2: CREATED + 9, 3: CREATED + 20 }, 3)), 'newer, without version 1')
  t.notOk(isSameKey(known, key({ 1: CREATED + 1 }, 1)), 'created at another time')
  t.notOk(isSameKey(known, key({ 1: CREATED, 2: CREATED + 10 }, 2)), 'a copy that was rotated, too')
  t.notOk(isSameKey(known, key({ 3: CREATED + 20 }, 3)), 'no version in both')
  t.end()
})
