import { test, type Test } from 'tap'

import type { Envelope } from '../../../src/seed/envelope.ts'
import { BridgeError } from '../../../src/errors.ts'
import { makeSnapshot } from '../../../src/seed/key-snapshot.ts'
import { settle } from '../../fakes/clock.ts'
import { MemoryTransit, serviceFixture, type FixtureOptions } from '../service-fixture.ts'
import { CREATED, transitKey } from '../transit-key.ts'

const seed = Buffer.from('0123456789abcdef0123456789abcdef')
const NOTHING = { reads: 0, encrypts: 0, decrypts: 0 }
const HOUR = 3_600_000
const CLUSTERS = { clusterId: 'prod', alsoDecryptClusters: [] }
const LOCAL_KEY = 'local-key.transit-bridge.internal'

const fixture = (options: FixtureOptions = {}) =>
  serviceFixture({ ...options, localKeys: { enabled: true, ...options.localKeys } })

type Fixture = Awaited<ReturnType<typeof fixture>>

const wrappedKeyOf = ({ annotations }: Envelope) =>
  Buffer.from(annotations[LOCAL_KEY] ?? []).toString('latin1')

/** Vault answers nothing from here on; the plugin finds out by its own check. */
async function startOutage({ transit, watch, clock }: Fixture): Promise<void> {
  transit.bug = new BridgeError('VAULT_UNREACHABLE', 'scripted outage')
  watch.suspect()
  await clock.advance(5_000)
}

async function endOutage({ transit, clock }: Fixture): Promise<void> {
  transit.bug = undefined
  await clock.advance(10_000)
}

async function endOfflineTime(all: Fixture): Promise<void> {
  await startOutage(all)
  await all.clock.advance(2 * HOUR)
}

async function startRefusal({ transit, watch, clock }: Fixture): Promise<void> {
  transit.bug = new BridgeError('VAULT_DENIED', 'scripted refusal')
  watch.suspect()
  await clock.advance(5_000)
}

void test('Encrypt and Decrypt make no request to Vault', async (t) => {
  const { service, within, cost } = await fixture()
  let envelope: Envelope | undefined
  const encrypt = async () => void (envelope = await service.encrypt(seed, within()))
  t.same(await cost(encrypt), NOTHING)
  t.ok(envelope)
  if (envelope === undefined) return
  const { ciphertext, keyId, annotations } = envelope
  t.equal(keyId, service.status().keyId)
  t.match(wrappedKeyOf(envelope), /^vault:v1:/)
  t.ok(ciphertext.byteLength < 1024, 'kube-apiserver accepts it')
  t.notOk(Buffer.from(ciphertext).includes(seed))
  t.equal(Object.keys(annotations).length, 3)
  let found: Buffer | undefined
  const decrypt = async () =>
    void (found = await service.decrypt({ ciphertext, keyId, annotations }, within()))
  t.same(await cost(decrypt), NOTHING)
  t.same(found, seed)
})

void test('a call is answered at once, without a promise, only with what is in memory', async (t) => {
  const other = await fixture()
  const { service, within } = await fixture()
  const own = service.encryptNow(seed, within())
  t.ok(own)
  if (own === undefined) return
  t.same(service.decryptNow(own), seed)
  const foreign = await other.service.encrypt(seed, other.within())
  t.equal(service.decryptNow(foreign), undefined, 'the local key of another node')
  await service.decrypt(foreign, within())
  t.same(service.decryptNow(foreign), seed)

  const withoutLocalKeys = await serviceFixture()
  t.equal(withoutLocalKeys.service.encryptNow(seed, within()), undefined)
  t.equal(withoutLocalKeys.service.decryptNow(own), undefined)
})

void test('an answer from memory passes the same checks as one from Vault', async (t) => {
  const { service, within } = await fixture()
  const { ciphertext, keyId, annotations } = await service.encrypt(seed, within())
  const flipped = Buffer.from(ciphertext)
  flipped[40] = (flipped[40] ?? 0) ^ 1
  const cluster = { 'cluster.transit-bridge.internal': Buffer.from('other') }
  const version = { 'version.transit-bridge.internal': Buffer.from('3') }
  const wrong: readonly (readonly [string, Envelope])[] = [
    ['CIPHERTEXT_INVALID', { ciphertext: flipped, keyId, annotations }],
    ['CIPHERTEXT_INVALID', { ciphertext: ciphertext.subarray(0, 8), keyId, annotations }],
    ['CLUSTER_FOREIGN', { ciphertext, keyId, annotations: { ...annotations, ...cluster } }],
    ['ANNOTATIONS_INVALID', { ciphertext, keyId, annotations: { ...annotations, ...version } }],
  ]
  for (const [code, envelope] of wrong) t.throws(() => service.decryptNow(envelope), { code }, code)
  t.throws(() => service.encryptNow(Buffer.alloc(65_537), within()), { code: 'REQUEST_INVALID' })
})

void test('after a refusal and after the offline limit, nothing is answered from memory', async (t) => {
  for (const end of [startRefusal, endOfflineTime]) {
    const all = await fixture({ localKeys: { offlineForMs: HOUR } })
    const envelope = await all.service.encrypt(seed, all.within())
    await end(all)
    t.equal(all.service.encryptNow(seed, all.within()), undefined, end.name)
    t.equal(all.service.decryptNow(envelope), undefined, end.name)
  }
})

void test('the start creates one local key, and verifies that Vault decrypts it', async (t) => {
  const { counts, ring } = await fixture()
  // A proof is two encrypts and two decrypts.
  t.same(counts(), { reads: 1, encrypts: 3, decrypts: 3 })
  t.equal(ring.size, 1)
})

void test('a local key of another node costs one request, for any number of seeds and callers', async (t) => {
  const other = await fixture()
  const envelopes = await Promise.all(
    Array.from({ length: 20 }, () => other.service.encrypt(seed, other.within())),
  )
  const { service, within, cost } = await fixture()
  const read = () => Promise.all(envelopes.map((each) => service.decrypt(each, within())))
  t.same(await cost(read), { ...NOTHING, decrypts: 1 })
  t.same(await cost(read), NOTHING)
  t.ok((await read()).every((found) => found.equals(seed)))
})

void test('a wrong answer for a local key is not kept: the next call decrypts', async (t) => {
  const other = await fixture()
  const envelope = await other.service.encrypt(seed, other.within())
  const { service, within, transit, ring, clock } = await fixture({ transit: other.transit })
  const known = ring.size
  transit.answer = Buffer.alloc(32, 1)
  await t.rejects(service.decrypt(envelope, within()), { code: 'CIPHERTEXT_INVALID' })
  t.equal(ring.size, known)
  transit.answer = undefined
  await clock.advance(10_000)
  t.same(await service.decrypt(envelope, within()), seed)
  t.equal(ring.size, known + 1)
})

void test('changed data under an unknown local key does not fail other calls for that key', async (t) => {
  const other = await fixture()
  const envelope = await other.service.encrypt(seed, other.within())
  const ciphertext = Buffer.from(envelope.ciphertext)
  ciphertext[ciphertext.length - 1]! ^= 1
  const { service, within, ring } = await fixture({ transit: other.transit })
  const known = ring.size
  const changed = service.decrypt({ ...envelope, ciphertext }, within())
  const good = service.decrypt(envelope, within())
  await t.rejects(changed, { code: 'CIPHERTEXT_INVALID' })
  t.same(await good, seed)
  t.equal(ring.size, known, 'the call that asked did not prove the key')
  t.same(await service.decrypt(envelope, within()), seed)
  t.equal(ring.size, known + 1)
})

/** A Decrypt under the local key of another node, which Vault answers when the test opens the door. */
async function slowDecrypt(t: Test) {
  const other = await fixture()
  const envelope = await other.service.encrypt(seed, other.within())
  const all = await fixture({ transit: other.transit })
  const { service, within, transit } = all
  const { promise, resolve: openDoor } = Promise.withResolvers<void>()
  transit.beforeDecrypt = () => promise
  const decrypting = service.decrypt(envelope, within())
  decrypting.catch(() => undefined)
  await settle()
  const asked = transit.decrypts
  t.teardown(openDoor)
  return { ...all, decrypting, openDoor, askedAgain: () => transit.decrypts - asked }
}

void test('a local key that Vault returns after a refusal is not kept, and the call asks again', async (t) => {
  const { ring, decrypting, openDoor, askedAgain } = await slowDecrypt(t)
  ring.clear()
  openDoor()
  t.same(await decrypting, seed)
  t.equal(askedAgain(), 1)
  t.equal(ring.size, 0)
})

void test('a local key that Vault returns after it disabled the version is not kept, and the call asks again', async (t) => {
  const { transit, ring, decrypting, openDoor, askedAgain } = await slowDecrypt(t)
  const key = transitKey(2, { from: 2 })
  // The first answer is older than the change.
  transit.beforeDecrypt = async () => void (transit.key = key)
  ring.retain(makeSnapshot(key, CLUSTERS, 0))
  const known = ring.size
  openDoor()
  await t.rejects(decrypting, { code: 'KEY_VERSION_DISABLED' })
  t.equal(askedAgain(), 1)
  t.equal(ring.size, known)
})

void test('a Decrypt is answered although the wall clock is set forward while Vault works on it', async (t) => {
  const { clock, ring, decrypting, openDoor } = await slowDecrypt(t)
  const known = ring.size
  clock.epoch += 10 * HOUR
  openDoor()
  t.same(await decrypting, seed)
  t.equal(ring.size, known)
})

void test('a Decrypt that joined a request that had less time asks again', async (t) => {
  const other = await fixture()
  const envelope = await other.service.encrypt(seed, other.within())
  const { service, within, transit, clock } = await fixture({ transit: other.transit })
  const { promise, reject } = Promise.withResolvers<void>()
  transit.beforeDecrypt = () => promise
  const first = service.decrypt(envelope, within()).catch((error: unknown) => error)
  await clock.advance(7_000)
  t.match(await first, { code: 'DEADLINE_EXCEEDED' })
  const late = service.decrypt(envelope, within())
  await clock.advance(1_000)
  transit.beforeDecrypt = undefined
  reject(new BridgeError('DEADLINE_EXCEEDED', 'scripted'))
  t.same(await late, seed)
})

void test('calls that gave up leave nothing of a long message in memory', async (t) => {
  const other = await fixture()
  const envelope = await other.service.encrypt(Buffer.alloc(64 * 1024), other.within())
  const { service, within, transit, ring, clock } = await fixture({ transit: other.transit })
  const known = ring.size
  const { promise, resolve } = Promise.withResolvers<void>()
  transit.beforeDecrypt = () => promise
  const decrypting = service.decrypt(envelope, within(10_000))
  await settle()
  await clock.advance(9_000)
  resolve()
  t.equal((await decrypting).length, 64 * 1024, 'it has its own request, until its deadline')
  t.equal(ring.size, known)
})

void test('local keys that were created after a refusal are zeroed when Vault no longer answers', async (t) => {
  const all = await fixture()
  const { service, within, transit, ring, watch } = all
  await startRefusal(all)
  t.equal(ring.size, 0)
  transit.bug = undefined
  await service.encrypt(seed, within())
  t.equal(ring.size, 1, 'Vault encrypts, but no check has passed')
  transit.bug = new BridgeError('VAULT_UNREACHABLE', 'scripted outage')
  await watch.refresh(within()).catch(() => undefined)
  t.equal(ring.size, 0)
})

void test('data of both modes is read in both modes', async (t) => {
  const [on, off] = [await fixture(), await serviceFixture()]
  const [local, direct] = [
    await on.service.encrypt(seed, on.within()),
    await off.service.encrypt(seed, off.within()),
  ]
  t.same(await on.service.decrypt(direct, on.within()), seed)
  t.same(await off.service.decrypt(local, off.within()), seed)
  const again = () => off.service.decrypt(local, off.within())
  t.same(await off.cost(again), { ...NOTHING, decrypts: 1 }, 'without local keys none is kept')
  t.equal(off.ring.size, 0)
})

void test('a plaintext of another length is encrypted, too', async (t) => {
  const { service, within } = await fixture()
  for (const length of [0, 1, 31, 4096, 65_536]) {
    const plaintext = Buffer.alloc(length, 7)
    const envelope = await service.encrypt(plaintext, within())
    t.same(await service.decrypt(envelope, within()), plaintext, String(length))
  }
  await t.rejects(service.encrypt(Buffer.alloc(65_537), within()), { code: 'REQUEST_INVALID' })
})

void test('a new local key replaces one with enough uses, or of enough age, without a wait', async (t) => {
  const byUses = await fixture({ localKeys: { maxUses: 3 } })
  const wrapped: string[] = []
  for (let count = 0; count < 9; count += 1) {
    wrapped.push(wrappedKeyOf(await byUses.service.encrypt(seed, byUses.within())))
    await byUses.clock.advance(5_000)
  }
  // The call that finds it due still uses it.
  t.same(
    wrapped.map((each) => wrapped.indexOf(each)),
    [0, 0, 0, 0, 4, 4, 4, 4, 8],
  )
  const byAge = await fixture({ localKeys: { maxAgeMs: HOUR } })
  const first = wrappedKeyOf(await byAge.service.encrypt(seed, byAge.within()))
  await byAge.clock.advance(2 * HOUR)
  t.not(wrappedKeyOf(await byAge.service.encrypt(seed, byAge.within())), first)
})

void test('concurrent calls share one new local key', async (t) => {
  const { service, within, cost } = await fixture({ localKeys: { maxUses: 1 } })
  await service.encrypt(seed, within())
  const work = () => Promise.all(Array.from({ length: 50 }, () => service.encrypt(seed, within())))
  t.same(await cost(work), { ...NOTHING, encrypts: 1, decrypts: 1 })
})

void test('a rotation creates a local key before its key id is announced', async (t) => {
  const { service, within, transit, clock, watch, cost } = await fixture()
  const before = service.status().keyId
  const old = await service.encrypt(seed, within())
  transit.key = transitKey(2)
  transit.failEncrypts = 1
  await t.rejects(watch.refresh(within()), { code: 'VAULT_UNAVAILABLE' })
  t.equal(
    service.status().keyId,
    before,
    'the read showed a new version, but there is no local key for it',
  )
  await clock.advance(10_000)
  t.not(service.status().keyId, before)
  const after = await service.encrypt(seed, within())
  t.match(wrappedKeyOf(after), /^vault:v2:/)
  t.equal(after.keyId, service.status().keyId)
  t.same(await cost(() => service.decrypt(old, within())), NOTHING)
})

void test('during an outage Status is ok, and Encrypt and Decrypt work, for offlineFor', async (t) => {
  const f = await fixture()
  const { service, within, clock, health } = f
  const envelope = await service.encrypt(seed, within())
  const { keyId } = service.status()
  await startOutage(f)
  t.match(service.status(), { healthz: 'ok', keyId })
  t.match(health.failure, { code: 'VAULT_UNREACHABLE' })
  await clock.advance(3.9 * HOUR)
  t.match(service.status(), { healthz: 'ok', keyId })
  t.same(await service.decrypt(envelope, within()), seed)
  t.same(await service.decrypt(await service.encrypt(seed, within()), within()), seed)
})

void test('after offlineFor, Status says so and Encrypt fails; after a quarter more, Decrypt does', async (t) => {
  const f = await fixture()
  const { service, within, clock, ring } = f
  const envelope = await service.encrypt(seed, within())
  await startOutage(f)
  await clock.advance(4 * HOUR)
  t.match(service.status().healthz, /scripted outage; .*kms\.localKeys\.offlineFor/)
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_UNREACHABLE' })
  t.same(await service.decrypt(envelope, within()), seed)
  await clock.advance(HOUR)
  await t.rejects(service.decrypt(envelope, within()), { code: 'VAULT_UNREACHABLE' })
  t.equal(ring.size, 0)
  await endOutage(f)
  t.equal(service.status().healthz, 'ok')
  t.same(await service.decrypt(envelope, within()), seed)
  t.same(await service.decrypt(await service.encrypt(seed, within()), within()), seed)
})

void test('a wall clock that is set forward, also after it was set back, zeroes no local key if Vault answers', async (t) => {
  const { service, within, clock, transit, ring, cost } = await fixture()
  const envelope = await service.encrypt(seed, within())
  clock.epoch -= 20 * HOUR
  await clock.advance(120_000)
  const { reads } = transit
  clock.epoch += 10 * HOUR
  await clock.advance(120_000)
  t.equal(transit.reads, reads + 1, 'long before the next check is due')
  t.equal(ring.size, 1)
  t.same(await cost(() => service.encrypt(seed, within())), NOTHING)
  t.same(await cost(() => service.decrypt(envelope, within())), NOTHING)
})

void test('until Vault agrees again after the wall clock was set forward, nothing is answered from memory', async (t) => {
  const { service, within, clock, transit, ring, cost } = await fixture()
  const envelope = await service.encrypt(seed, within())
  // So does the check, which encrypts first.
  transit.hang = true
  clock.epoch += 10 * HOUR
  await clock.advance(61_000)
  t.equal(ring.size, 1, 'the local key is not zeroed yet')
  t.equal(service.encryptNow(seed, within()), undefined)
  t.same(await cost(() => service.decrypt(envelope, within())), { ...NOTHING, decrypts: 1 })
  await clock.advance(15_000)
  t.equal(ring.size, 0, 'the check does not end')
})

void test('the decrypt cache does not keep what a local key decrypts: it would be read after offlineFor', async (t) => {
  const f = await fixture({ cache: true, localKeys: { offlineForMs: HOUR / 2 } })
  const other = await fixture()
  const { service, within, clock, cache } = f
  const envelopes = [
    await service.encrypt(seed, within()),
    await other.service.encrypt(seed, other.within()),
  ]
  const read = (envelope: Envelope) => service.decrypt(envelope, within())
  for (const envelope of envelopes) t.same(await read(envelope), seed)
  await startOutage(f)
  await clock.advance(HOUR / 2)
  for (const envelope of envelopes) t.same(await read(envelope), seed)
  await clock.advance(HOUR / 8)
  for (const envelope of envelopes) await t.rejects(read(envelope), { code: 'VAULT_UNREACHABLE' })
  t.equal(cache?.size, 0)
})

void test('without local keys, the decrypt cache keeps what a local key of an earlier run decrypts', async (t) => {
  const other = await fixture()
  const envelope = await other.service.encrypt(seed, other.within())
  const { service, within, cost } = await serviceFixture({ cache: true })
  const read = async () => t.same(await service.decrypt(envelope, within()), seed)
  t.same(await cost(read), { ...NOTHING, decrypts: 1 })
  t.same(await cost(read), NOTHING)
})

void test('a local key that is due during an outage stays in use', async (t) => {
  const f = await fixture({ localKeys: { maxUses: 2, maxAgeMs: HOUR } })
  const { service, within, clock } = f
  await startOutage(f)
  await clock.advance(3 * HOUR)
  for (let count = 0; count < 5; count += 1) await service.encrypt(seed, within())
  t.equal(service.status().healthz, 'ok')
})

void test('a local key that Vault returned before a refusal is not kept after it', async (t) => {
  const f = await fixture({ localKeys: { maxUses: 1 } })
  const { service, within, ring, transit } = f
  await service.encrypt(seed, within())
  const { promise, resolve } = Promise.withResolvers<void>()
  transit.beforeDecrypt = () => promise
  // It uses the local key that is due, and asks for the next one.
  await service.encrypt(seed, within())
  await settle()
  await startRefusal(f)
  t.equal(ring.size, 0)
  resolve()
  await settle()
  t.equal(ring.size, 0)
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_DENIED' })
})

void test('a refusal zeroes every local key at once, and Status says so', async (t) => {
  const f = await fixture()
  const { service, within, ring, transit, cost } = f
  const envelope = await service.encrypt(seed, within())
  await startRefusal(f)
  t.equal(ring.size, 0)
  t.match(service.status().healthz, /scripted refusal/)
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_DENIED' })
  await t.rejects(service.decrypt(envelope, within()), { code: 'VAULT_DENIED' })
  transit.bug = new BridgeError('VAULT_UNREACHABLE', 'an outage after it')
  await t.rejects(service.decrypt(envelope, within()), { code: 'VAULT_UNREACHABLE' })
  t.not(service.status().healthz, 'ok')
  await endOutage(f)
  t.equal(service.status().healthz, 'ok')
  t.same(await service.decrypt(envelope, within()), seed)
  t.same(await cost(() => service.encrypt(seed, within())), NOTHING)
})

/** What Vault shows of the key, and the code of a Decrypt of older data. */
const LOSSES = [
  { what: 'deleted', refuse: 'KEY_MISSING', key: undefined, code: 'KEY_MISSING' },
  {
    what: 'deleted and made again',
    refuse: undefined,
    key: transitKey(1, { createdAt: CREATED + 1 }),
    code: 'KEY_ID_UNKNOWN',
  },
  {
    what: 'at a higher min_decryption_version',
    refuse: undefined,
    key: transitKey(2, { from: 2, createdAt: CREATED }),
    code: 'KEY_VERSION_DISABLED',
  },
] as const

for (const { what, refuse, key, code } of LOSSES) {
  void test(`data is not read from memory when the key is ${what}`, async (t: Test) => {
    const f = await fixture()
    const { service, within, transit, watch, clock, ring } = f
    const envelope = await service.encrypt(seed, within())
    if (key === undefined) transit.bug = new BridgeError(refuse, 'scripted')
    else transit.key = key
    await watch.refresh(within()).catch(() => undefined)
    await clock.advance(1_000)
    await t.rejects(service.decrypt(envelope, within()), { code })
    t.equal(ring.size, key === undefined ? 0 : 1, 'only the local key of the new version')
  })
}

void test('the loss of a permission that calls no longer use is noticed within minutes', async (t) => {
  const f = await fixture()
  const { service, within, transit, clock } = f
  await service.encrypt(seed, within())
  transit.beforeDecrypt = () => Promise.reject(new BridgeError('VAULT_DENIED', 'no decrypt'))
  await clock.advance(2 * HOUR)
  t.match(service.status().healthz, /no decrypt/)
  await t.rejects(service.encrypt(seed, within()), { code: 'VAULT_DENIED' })
})

void test('a Vault that returns another local key than it encrypted is found before it is used', async (t) => {
  const transit = new MemoryTransit(transitKey(1))
  transit.answer = Buffer.alloc(32, 1)
  const { service, within } = await fixture({ transit })
  await t.rejects(service.encrypt(seed, within()), { code: 'PLAINTEXT_WRONG' })
  t.match(service.status().healthz, /other than what it encrypted/)
})

void test('no Encrypt waits for a Vault that hangs while there is a local key', async (t) => {
  const { service, within, transit, clock } = await fixture({ localKeys: { maxUses: 1 } })
  transit.hang = true
  const outcomes = Array.from({ length: 5 }, () => service.encrypt(seed, within()))
  t.equal((await Promise.all(outcomes)).length, 5)
  await clock.advance(10_000)
  t.ok(await service.encrypt(seed, within()))
})

/** A good envelope with one thing wrong. */
const DEFECTS: readonly (readonly [
  string,
  (good: Envelope, other: Envelope) => Envelope,
  string,
])[] = [
  [
    'a changed ciphertext',
    (good) => ({ ...good, ciphertext: Buffer.from(good.ciphertext).fill(1, 40, 41) }),
    'CIPHERTEXT_INVALID',
  ],
  ['no ciphertext', (good) => ({ ...good, ciphertext: Buffer.alloc(0) }), 'CIPHERTEXT_INVALID'],
  [
    'the local key of other data',
    (good, other) => ({ ...good, annotations: other.annotations }),
    'CIPHERTEXT_INVALID',
  ],
  [
    'another cluster',
    (good) => ({
      ...good,
      annotations: { ...good.annotations, 'cluster.transit-bridge.internal': Buffer.from('other') },
    }),
    'CLUSTER_FOREIGN',
  ],
  ['another key id', (good) => ({ ...good, keyId: 'tb1-other' }), 'KEY_ID_UNKNOWN'],
  [
    'a local key that names another key version',
    (good) => ({
      ...good,
      annotations: {
        ...good.annotations,
        [LOCAL_KEY]: Buffer.from(wrappedKeyOf(good).replace('vault:v1:', 'vault:v2:')),
      },
    }),
    'CIPHERTEXT_INVALID',
  ],
]

for (const [what, change, code] of DEFECTS) {
  void test(`data under a local key with ${what} is ${code}`, async (t) => {
    const { service, within } = await fixture({ localKeys: { maxUses: 1 }, key: transitKey(2) })
    const first = await fixture()
    const other = await first.service.encrypt(seed, first.within())
    const good = await first.service.encrypt(Buffer.alloc(32, 5), first.within())
    const third = await fixture()
    const foreign = await third.service.encrypt(seed, third.within())
    t.same(await service.decrypt(good, within()), Buffer.alloc(32, 5))
    t.ok(other)
    await t.rejects(service.decrypt(change(good, foreign), within()), { code })
    await settle()
  })
}

void test('a DEK seed that Transit encrypted is not a local key, nor is a local key a DEK seed', async (t) => {
  const { service, within } = await fixture()
  const plain = await serviceFixture()
  const direct = await plain.service.encrypt(Buffer.alloc(32, 3), plain.within())
  const local = await service.encrypt(seed, within())
  const asKey = {
    ...local,
    annotations: { ...local.annotations, [LOCAL_KEY]: Buffer.from(direct.ciphertext) },
  }
  await t.rejects(service.decrypt(asKey, within()), { code: 'CIPHERTEXT_INVALID' })
  const asSeed = { ...direct, ciphertext: Buffer.from(wrappedKeyOf(local)) }
  await t.rejects(service.decrypt(asSeed, within()), { code: 'CIPHERTEXT_INVALID' })
})
