import { test } from 'tap'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { makeAnnotations } from '../../src/seed/annotations.ts'
import type { Envelope } from '../../src/seed/envelope.ts'
import { makeKeyId } from '../../src/seed/key-id.ts'
import { settle } from '../fakes/clock.ts'
import { serviceFixture } from './service-fixture.ts'
import { CREATED, transitKey } from './transit-key.ts'

const seed = Buffer.from('0123456789abcdef0123456789abcdef')
const NOTHING = { reads: 0, encrypts: 0, decrypts: 0 }

void test('an encrypted seed is decrypted from what etcd stores', async (t) => {
  const { service, within, cost } = await serviceFixture()
  const envelope = await service.encrypt(seed, within())
  t.same(await cost(() => service.decrypt(envelope, within())), { ...NOTHING, decrypts: 1 })
  t.same(await service.decrypt(envelope, within()), seed)
})

void test('encrypt returns the key id of Status, in one request', async (t) => {
  const { service, within, cost, watch } = await serviceFixture({ key: transitKey(3) })
  t.same(await cost(() => service.encrypt(seed, within())), { ...NOTHING, encrypts: 1 })
  const { ciphertext, keyId, annotations } = await service.encrypt(seed, within())
  t.match(ciphertext.toString(), /^vault:v3:/)
  t.equal(keyId, service.status().keyId)
  t.equal(keyId, watch.snapshot?.keyId)
  t.same(annotations, makeAnnotations('prod'))
})

void test('equal seeds never have equal ciphertexts', async (t) => {
  const { service, within } = await serviceFixture()
  const [one, two] = [await service.encrypt(seed, within()), await service.encrypt(seed, within())]
  t.not(one.ciphertext.toString(), two.ciphertext.toString())
})

void test('a rotation that Status does not know of changes nothing for encrypt', async (t) => {
  const { service, within, transit } = await serviceFixture()
  const { keyId } = service.status()
  transit.key = transitKey(2)
  t.match(await service.encrypt(seed, within()), { keyId, ciphertext: /^vault:v1:/ })
})

void test('when Vault refuses the announced version, the new one is announced and used', async (t) => {
  const { service, within, transit, cost } = await serviceFixture()
  transit.key = transitKey(2, { minEncryptionVersion: 2 })
  let answer: Envelope | undefined
  const work = async () => void (answer = await service.encrypt(seed, within()))
  t.same(await cost(work), { reads: 1, encrypts: 2, decrypts: 0 })
  t.match(answer, { keyId: service.status().keyId, ciphertext: /^vault:v2:/ })
})

void test('when the key has not changed, the refusal of its version is returned after one read', async (t) => {
  const { service, within, transit, cost } = await serviceFixture()
  transit.key = transitKey(1, { minEncryptionVersion: 2 })
  await t.rejects(service.encrypt(seed, within()), { code: 'KEY_VERSION_DISABLED' })
  t.same(await cost(() => service.encrypt(seed, within())), { reads: 1, encrypts: 1, decrypts: 0 })
})

void test('a second refusal is returned: encrypt tries twice', async (t) => {
  const { service, within, transit, cost } = await serviceFixture()
  transit.key = transitKey(2, { minEncryptionVersion: 3 })
  t.same(await cost(() => service.encrypt(seed, within())), { reads: 1, encrypts: 2, decrypts: 0 })
})

void test('encrypt does not try again if the check meanwhile finds that this Vault must not encrypt', async (t) => {
  const { service, within, transit, watch } = await serviceFixture()
  watch.suspect()
  transit.answer = Buffer.alloc(32, 1)
  transit.faults.push('KEY_VERSION_UNKNOWN')
  await t.rejects(service.encrypt(seed, within()), { code: 'PLAINTEXT_WRONG' })
})

void test('an answer that the API server would discard is an error, for a seed only', async (t) => {
  const { service, within, transit } = await serviceFixture()
  transit.padding = 1_000
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_ANSWER_INVALID' })
  t.ok((await service.encrypt(Buffer.alloc(65), within())).ciphertext.length > 1_024)
})

void test('status makes no request, before and after the key is known', async (t) => {
  const { service, cost } = await serviceFixture()
  t.same(await cost(async () => service.status()), NOTHING)
  t.match(service.status(), { healthz: 'ok', keyId: /^tb1-/ })
})

/** Every field of a good envelope, one thing wrong with each. */
const keyIdOf = (change: object) =>
  makeKeyId({
    clusterId: 'prod',
    keyName: 'k8s-etcd',
    keyVersion: 1,
    createdAt: CREATED,
    ...change,
  })
const withText = (envelope: Envelope, change: (text: string) => string): Envelope => ({
  ...envelope,
  ciphertext: Buffer.from(change(Buffer.from(envelope.ciphertext).toString('latin1')), 'latin1'),
})
const TAMPERED: readonly (readonly [string, (good: Envelope) => Envelope, ErrorCode])[] = [
  ['an empty key id', (good) => ({ ...good, keyId: '' }), 'KEY_ID_UNKNOWN'],
  [
    'a key id in capitals',
    (good) => ({ ...good, keyId: good.keyId.toUpperCase() }),
    'KEY_ID_UNKNOWN',
  ],
  ['a longer key id', (good) => ({ ...good, keyId: `${good.keyId} ` }), 'KEY_ID_UNKNOWN'],
  [
    'a key id of a made-again key',
    (good) => ({ ...good, keyId: keyIdOf({ createdAt: CREATED + 1 }) }),
    'KEY_ID_UNKNOWN',
  ],
  [
    'a key id of another key',
    (good) => ({ ...good, keyId: keyIdOf({ keyName: 'other' }) }),
    'KEY_ID_UNKNOWN',
  ],
  [
    'a key id of another cluster',
    (good) => ({ ...good, keyId: keyIdOf({ clusterId: 'dev' }) }),
    'KEY_ID_UNKNOWN',
  ],
  ['a bare version as key id', (good) => ({ ...good, keyId: '1' }), 'KEY_ID_UNKNOWN'],
  [
    'the key id of another version',
    (good) => ({ ...good, keyId: keyIdOf({ keyVersion: 2, createdAt: CREATED + 3_600 }) }),
    'CIPHERTEXT_INVALID',
  ],
  [
    'the ciphertext of another version',
    (good) => withText(good, (text) => text.replace('v1', 'v2')),
    'CIPHERTEXT_INVALID',
  ],
  ['no ciphertext', (good) => ({ ...good, ciphertext: Buffer.alloc(0) }), 'CIPHERTEXT_INVALID'],
  [
    'another prefix',
    (good) => withText(good, (text) => text.replace('vault', 'Vault')),
    'CIPHERTEXT_INVALID',
  ],
  [
    'a ciphertext with something after it',
    (good) => withText(good, (text) => `${text} `),
    'CIPHERTEXT_INVALID',
  ],
  ['no annotations', (good) => ({ ...good, annotations: {} }), 'ANNOTATIONS_INVALID'],
  [
    'one annotation more',
    (good) => ({ ...good, annotations: { ...good.annotations, 'a.b': Buffer.alloc(0) } }),
    'ANNOTATIONS_INVALID',
  ],
  [
    'another format version',
    (good) => ({
      ...good,
      annotations: { ...good.annotations, 'version.transit-bridge.internal': Buffer.from('2') },
    }),
    'ANNOTATIONS_INVALID',
  ],
  [
    'annotations of another cluster',
    (good) => ({ ...good, annotations: makeAnnotations('dev') }),
    'CLUSTER_FOREIGN',
  ],
  [
    'annotations of no cluster',
    (good) => ({ ...good, annotations: makeAnnotations('') }),
    'CLUSTER_FOREIGN',
  ],
  [
    'annotations of an accepted cluster',
    (good) => ({ ...good, annotations: makeAnnotations('old') }),
    'ANNOTATIONS_INVALID',
  ],
  [
    'the key id of an accepted cluster',
    (good) => ({ ...good, keyId: keyIdOf({ clusterId: 'old' }) }),
    'ANNOTATIONS_INVALID',
  ],
]

for (const [what, tamper, code] of TAMPERED) {
  void test(`${what} is refused with ${code}, without a decrypt`, async (t) => {
    const { service, within, transit, cost } = await serviceFixture({
      alsoDecryptClusters: ['old'],
      cache: true,
    })
    const good = await service.encrypt(seed, within())
    // Two versions, so that the other one's id is known, too.
    transit.key = transitKey(2)
    await service.decrypt(good, within())
    const bad = tamper(good)
    t.match(await cost(() => service.decrypt(bad, within())), { encrypts: 0, decrypts: 0 })
    await t.rejects(service.decrypt(bad, within()), { code })
  })
}

void test('a changed payload or other AAD is refused by Transit', async (t) => {
  const { service, within } = await serviceFixture()
  const good = await service.encrypt(seed, within())
  const flipped = withText(good, (text) =>
    text.replace(/.(?=.{8}$)/, (c) => (c === 'A' ? 'B' : 'A')),
  )
  await t.rejects(service.decrypt(flipped, within()), { code: 'CIPHERTEXT_INVALID' })
})

void test('data of a cluster in alsoDecryptClusters is decrypted, and no other', async (t) => {
  const old = await serviceFixture({ clusterId: 'old' })
  const envelope = await old.service.encrypt(seed, old.within())
  const { service, within } = await serviceFixture({ alsoDecryptClusters: ['older', 'old'] })
  t.same(await service.decrypt(envelope, within()), seed)
  const strict = await serviceFixture()
  await t.rejects(strict.service.decrypt(envelope, strict.within()), {
    code: 'CLUSTER_FOREIGN',
    message: /cluster "old", but kms\.clusterId is "prod".*kms\.alsoDecryptClusters/,
  })
  t.match(service.status().keyId, keyIdOf({}), 'new data is its own')
})

void test("a foreign cluster's name is shown in bounds and escaped", async (t) => {
  const { service, within } = await serviceFixture()
  const good = await service.encrypt(seed, within())
  const cluster = `\n\u001b[31m${'x'.repeat(10_000)}`
  const error: unknown = await service
    .decrypt({ ...good, annotations: makeAnnotations(cluster) }, within())
    .catch((thrown: unknown) => thrown)
  t.match(error, { code: 'CLUSTER_FOREIGN', message: /^[\x20-\x7e]{1,400}$/ })
})

/** What vault-kubernetes-kms would have written: no additional data, the version as key id. */
async function foreignEnvelope({ transit }: Awaited<ReturnType<typeof serviceFixture>>) {
  const input = { plaintext: seed, associatedData: Buffer.alloc(0), keyVersion: 1 }
  return { ciphertext: Buffer.from(await transit.encrypt(input)), keyId: '1', annotations: {} }
}

void test('what vault-kubernetes-kms wrote is decrypted when kms.acceptFrom says so', async (t) => {
  const fixture = await serviceFixture({ acceptVaultKubernetesKms: true, key: transitKey(2) })
  const envelope = await foreignEnvelope(fixture)
  t.same(await fixture.service.decrypt(envelope, fixture.within()), seed)
  const other = { ...envelope, keyId: '2' }
  t.same(await fixture.service.decrypt(other, fixture.within()), seed, 'its key id may be off')
  t.match(await fixture.service.encrypt(seed, fixture.within()), { keyId: /^tb1-/ })
})

void test('without kms.acceptFrom it is refused, without a decrypt', async (t) => {
  const fixture = await serviceFixture()
  const envelope = await foreignEnvelope(fixture)
  t.same(await fixture.cost(() => fixture.service.decrypt(envelope, fixture.within())), NOTHING)
  await t.rejects(fixture.service.decrypt(envelope, fixture.within()), {
    code: 'ANNOTATIONS_INVALID',
  })
})

void test('data of this plugin is not accepted as data of vault-kubernetes-kms', async (t) => {
  const { service, within } = await serviceFixture({ acceptVaultKubernetesKms: true })
  const { ciphertext } = await service.encrypt(seed, within())
  const stripped = { ciphertext, keyId: '1', annotations: {} }
  await t.rejects(service.decrypt(stripped, within()), { code: 'CIPHERTEXT_INVALID' })
})

void test('a version that Vault does not list is refused without a decrypt, no matter what wrote it', async (t) => {
  const fixture = await serviceFixture({
    acceptVaultKubernetesKms: true,
    key: transitKey(2),
  })
  const foreign = await foreignEnvelope(fixture)
  fixture.transit.key = transitKey(3, { from: 2, createdAt: CREATED })
  t.same(await fixture.cost(() => fixture.service.decrypt(foreign, fixture.within())), {
    ...NOTHING,
    decrypts: 1,
  })
  await fixture.watch.refresh(fixture.within())
  t.same(await fixture.cost(() => fixture.service.decrypt(foreign, fixture.within())), NOTHING)
})

void test('the error for a version below min_decryption_version names the cause and what to do', async (t) => {
  const { service, within, transit, watch, clock } = await serviceFixture()
  const envelope = await service.encrypt(seed, within())
  transit.key = transitKey(3, { from: 2, createdAt: CREATED })
  await watch.refresh(within())
  await clock.advance(6_000)
  await t.rejects(service.decrypt(envelope, within()), {
    code: 'KEY_VERSION_DISABLED',
    message: /version 1 of transit key k8s-etcd.*min_decryption_version 2.*lower it/,
  })
})

void test('KMS v1: what was encrypted is decrypted from its one byte string', async (t) => {
  const { service, within } = await serviceFixture()
  const cipher = await service.encryptV1(seed, within())
  t.match(cipher.toString(), /^transit-bridge:v1:cHJvZA:vault:v1:/)
  t.same(await service.decryptV1(cipher, within()), seed)
})

void test('KMS v1: a cipher of another cluster is refused unless listed, without a decrypt', async (t) => {
  const old = await serviceFixture({ clusterId: 'old' })
  const cipher = await old.service.encryptV1(seed, old.within())
  const strict = await serviceFixture()
  t.same(await strict.cost(() => strict.service.decryptV1(cipher, strict.within())), NOTHING)
  await t.rejects(strict.service.decryptV1(cipher, strict.within()), { code: 'CLUSTER_FOREIGN' })
  const lenient = await serviceFixture({ alsoDecryptClusters: ['old'] })
  t.same(await lenient.service.decryptV1(cipher, lenient.within()), seed)
  const renamed = Buffer.from(cipher.toString().replace('b2xk', 'cHJvZA'))
  await t.rejects(strict.service.decryptV1(renamed, strict.within()), {
    code: 'CIPHERTEXT_INVALID',
  })
})

void test('KMS v1 data never opens as KMS v2, nor the reverse', async (t) => {
  const { service, within } = await serviceFixture({ acceptVaultKubernetesKms: true })
  const v2 = await service.encrypt(seed, within())
  const v1 = (await service.encryptV1(seed, within())).toString()
  const asV2 = { ...v2, ciphertext: Buffer.from(v1.replace(/^transit-bridge:v1:[^:]*:/, '')) }
  await t.rejects(service.decrypt(asV2, within()), { code: 'CIPHERTEXT_INVALID' })
  const asV1 = Buffer.from(`transit-bridge:v1:cHJvZA:${Buffer.from(v2.ciphertext).toString()}`)
  await t.rejects(service.decryptV1(asV1, within()), { code: 'CIPHERTEXT_INVALID' })
  await t.rejects(service.decryptV1(v2.ciphertext, within()), { code: 'CIPHERTEXT_INVALID' })
})

void test('KMS v1: what vault-kubernetes-kms wrote is decrypted when kms.acceptFrom says so', async (t) => {
  const fixture = await serviceFixture({ acceptVaultKubernetesKms: true })
  const { ciphertext } = await foreignEnvelope(fixture)
  t.same(await fixture.service.decryptV1(ciphertext, fixture.within()), seed)
  const strict = await serviceFixture()
  await t.rejects(strict.service.decryptV1(ciphertext, strict.within()), {
    code: 'CIPHERTEXT_INVALID',
    message: /kms\.acceptFrom: \[vault-kubernetes-kms\]/,
  })
})

void test('an unknown key id causes a read of the key, at most every five seconds', async (t) => {
  const { service, within, cost, clock } = await serviceFixture()
  const good = await service.encrypt(seed, within())
  const bad = { ...good, keyId: 'tb1-unknown' }
  const decrypt = () => service.decrypt(bad, within())
  t.same(await cost(decrypt), { ...NOTHING, reads: 1 })
  for (let step = 0; step < 4; step += 1) {
    t.same(await cost(decrypt), NOTHING)
    await clock.advance(1_000)
  }
  await clock.advance(1_000)
  t.same(await cost(decrypt), { ...NOTHING, reads: 1 })
})

void test('data of a newer version, as another node writes after a rotation, is decrypted at once', async (t) => {
  const { service, within, transit, clock, watch } = await serviceFixture()
  const other = await serviceFixture({ key: transitKey(2) })
  const envelope = await other.service.encrypt(seed, other.within())
  await watch.refresh(within())
  transit.key = transitKey(2)
  const result = service.decrypt(envelope, within())
  await clock.advance(250)
  t.same(await result, seed, 'after a short wait, since the key was read a moment before')
  t.equal(service.status().keyId, envelope.keyId, 'and Status says the new key id')
})

void test('the key is read again if the node that shows it lags behind the data', async (t) => {
  const { service, within, transit, clock, watch } = await serviceFixture()
  const other = await serviceFixture({ key: transitKey(2) })
  const envelope = await other.service.encrypt(seed, other.within())
  await watch.refresh(within())
  const result = service.decrypt(envelope, within())
  await clock.advance(250)
  t.equal(transit.knownVersion, 2, 'the client may leave a node that does not know version 2')
  transit.key = transitKey(2)
  await clock.advance(250)
  t.same(await result, seed)
  await watch.refresh(within())
  t.equal(transit.knownVersion, 2, 'as after this, because the version is known now')
})

void test('data of a version that no node has is refused after three reads of the key', async (t) => {
  const { service, within, counts, clock, watch } = await serviceFixture()
  const other = await serviceFixture({ key: transitKey(2) })
  const envelope = await other.service.encrypt(seed, other.within())
  await watch.refresh(within())
  const before = counts().reads
  const result = t.rejects(service.decrypt(envelope, within()), { code: 'KEY_ID_UNKNOWN' })
  for (let step = 0; step < 3; step += 1) await clock.advance(250)
  await result
  t.equal(counts().reads - before, 3)
})

void test('an unknown key id during an outage is an outage, not a refusal of the data', async (t) => {
  const { service, within, transit } = await serviceFixture()
  const good = await service.encrypt(seed, within())
  transit.faults.push('VAULT_SEALED')
  await t.rejects(service.decrypt({ ...good, keyId: 'x' }, within()), { code: 'VAULT_SEALED' })
})

void test('a standby that lags behind a rotation is asked again within the deadline', async (t) => {
  const { service, within, transit, clock } = await serviceFixture()
  const envelope = await service.encrypt(seed, within())
  transit.faults.push('KEY_VERSION_UNKNOWN', 'KEY_VERSION_UNKNOWN')
  const result = service.decrypt(envelope, within())
  await clock.advance(99)
  t.equal(transit.faults.length, 1)
  await clock.advance(101)
  t.same(await result, seed)
})

void test('a standby that does not know the announced version yet is asked to encrypt again', async (t) => {
  const { service, within, transit, clock } = await serviceFixture()
  transit.faults.push('KEY_VERSION_UNKNOWN')
  const result = service.encrypt(seed, within())
  await settle()
  transit.faults.push('KEY_VERSION_UNKNOWN')
  await clock.advance(100)
  t.equal((await result).keyId, service.status().keyId)
})

for (const [what, deadline, tries] of [
  ['eight times', 3_000, 8],
  ['not when there is no time for it', 100, 1],
  ['as long as there is time', 101, 2],
] as const) {
  void test(`a standby that stays behind is asked ${what}`, async (t) => {
    const { service, within, transit, clock, counts } = await serviceFixture()
    const envelope = await service.encrypt(seed, within())
    const before = counts().decrypts
    transit.faults.push(...Array<ErrorCode>(9).fill('KEY_VERSION_UNKNOWN'))
    const result = t.rejects(service.decrypt(envelope, within(deadline)), {
      code: 'KEY_VERSION_UNKNOWN',
    })
    await settle()
    for (let step = 1; step < tries; step += 1) await clock.advance(100)
    await result
    t.equal(counts().decrypts - before, tries)
  })
}

void test('a caller that cancels ends the wait for a standby', async (t) => {
  const { service, within, transit, counts, clock } = await serviceFixture()
  const envelope = await service.encrypt(seed, within())
  transit.faults.push('KEY_VERSION_UNKNOWN')
  const before = counts().decrypts
  const caller = new AbortController()
  const result = service.decrypt(envelope, { ...within(), signal: caller.signal })
  await settle()
  caller.abort()
  await t.rejects(result, { code: 'CANCELLED' })
  await clock.advance(1_000)
  t.equal(counts().decrypts - before, 1)
})

void test('a cached seed is decrypted without Vault', async (t) => {
  const fixture = await serviceFixture({ cache: true })
  const { service, within, cost } = fixture
  const envelope = await service.encrypt(seed, within())
  const first = await service.decrypt(envelope, within())
  t.same(await cost(() => service.decrypt(envelope, within())), NOTHING)
  first.fill(0)
  const second = await service.decrypt(envelope, within())
  t.same(second, seed, 'each caller has its own copy')
  second.fill(0)
  t.same(await service.decrypt(envelope, within()), seed)
  t.equal(fixture.cacheHits, 3)
})

const MEMORY: readonly (readonly [ErrorCode, number])[] = [
  ['VAULT_UNREACHABLE', 1],
  ['VAULT_TIMEOUT', 1],
  ['VAULT_SEALED', 1],
  ['VAULT_RATE_LIMITED', 1],
  ['DEADLINE_EXCEEDED', 1],
  ['CANCELLED', 1],
  ['CIPHERTEXT_INVALID', 1],
  ['VAULT_TLS_INVALID', 1],
  ['IDENTITY_INVALID', 1],
  ['HOST_UNAVAILABLE', 1],
  ['VAULT_DENIED', 0],
  ['LOGIN_REFUSED', 0],
  ['KEY_MISSING', 0],
  ['VAULT_NOT_FOUND', 0],
]

for (const [code, kept] of MEMORY) {
  void test(`${code} of a call ${kept === 0 ? 'empties the cache' : 'does not change the cache'}`, async (t) => {
    const { service, within, transit, cache } = await serviceFixture({ cache: true })
    const known = await service.encrypt(seed, within())
    await service.decrypt(known, within())
    const other = await service.encrypt(seed, within())
    transit.faults.push(code)
    await t.rejects(service.decrypt(other, within()), { code })
    t.equal(cache?.size, kept)
  })
}

void test('a refusal that a check finds empties the cache, an outage does not', async (t) => {
  const { service, within, transit, cache, watch } = await serviceFixture({ cache: true })
  await service.decrypt(await service.encrypt(seed, within()), within())
  transit.faults.push('VAULT_SEALED')
  await watch.refresh(within()).catch(() => undefined)
  t.equal(cache?.size, 1)
  transit.faults.push('VAULT_DENIED')
  await watch.refresh(within()).catch(() => undefined)
  t.equal(cache?.size, 0)
})

void test('what Vault answered before a refusal is not kept after it', async (t) => {
  const { service, within, transit, cache, watch } = await serviceFixture({ cache: true })
  const envelope = await service.encrypt(seed, within())
  const door = Promise.withResolvers<void>()
  transit.beforeDecrypt = () => door.promise
  const decrypting = service.decrypt(envelope, within())
  await settle()
  transit.faults.push('VAULT_DENIED')
  await watch.refresh(within()).catch(() => undefined)
  door.resolve()
  t.same(await decrypting, seed)
  t.equal(cache?.size, 0)
})

void test('a tampered envelope is refused although its ciphertext is cached', async (t) => {
  const { service, within } = await serviceFixture({ cache: true })
  const good = await service.encrypt(seed, within())
  await service.decrypt(good, within())
  await t.rejects(service.decrypt({ ...good, keyId: 'x' }, within()), { code: 'KEY_ID_UNKNOWN' })
})

const FAULTS: readonly (readonly [ErrorCode, boolean])[] = [
  ['CIPHERTEXT_INVALID', false],
  ['KEY_VERSION_DISABLED', false],
  ['CANCELLED', false],
  ['OVERLOADED', false],
  ['VAULT_SEALED', true],
  ['VAULT_UNREACHABLE', true],
  ['DEADLINE_EXCEEDED', true],
  ['VAULT_DENIED', true],
  ['KEY_MISSING', true],
  ['VAULT_ANSWER_INVALID', true],
]

for (const [code, wakes] of FAULTS) {
  void test(`${code} of a decrypt ${wakes ? 'causes a check at once' : 'causes no check'}`, async (t) => {
    const { service, within, transit, clock, cost, health } = await serviceFixture()
    const envelope = await service.encrypt(seed, within())
    transit.faults.push(code)
    await t.rejects(service.decrypt(envelope, within()), { code })
    t.equal(health.needsProof, wakes)
    const expected = wakes ? { reads: 1, encrypts: 2, decrypts: 2 } : NOTHING
    t.same(await cost(() => clock.advance(1_000)), expected)
    t.equal(service.status().healthz, 'ok')
  })
}

void test('before Vault was reached encrypt reads the key, or returns the reason why it cannot', async (t) => {
  const { service, within, transit, clock } = await serviceFixture({ unreached: true })
  t.match(service.status(), { healthz: /^starting/, keyId: '' })
  transit.faults.push('VAULT_SEALED')
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_SEALED' })
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_SEALED' }, 'told, not asked')
  await clock.advance(250)
  t.match(await service.encrypt(seed, within()), { keyId: /^tb1-/ })
  t.match(service.status(), { healthz: 'ok', keyId: /^tb1-/ })
})

void test('every error is a BridgeError; a bug is INTERNAL and keeps its cause', async (t) => {
  const { service, within, transit } = await serviceFixture()
  const bug = new TypeError('bug')
  transit.bug = bug
  const error: unknown = await service.encrypt(seed, within()).catch((thrown: unknown) => thrown)
  t.ok(error instanceof BridgeError)
  t.match(error, { code: 'INTERNAL', message: 'internal error', cause: bug })
})
