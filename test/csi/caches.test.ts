import { test } from 'tap'
import { ContentCache } from '../../src/csi/volume/content-cache.ts'
import type { ContentFile } from '../../src/csi/volume/content.ts'
import { KeyCache, type KeyReader } from '../../src/csi/volume/key-cache.ts'
import type { PodSession } from '../../src/csi/identity/pod-session.ts'
import { SessionCache } from '../../src/csi/identity/session-cache.ts'
import { SharedMounts, type ServedContent } from '../../src/csi/shared-mounts.ts'
import { BridgeError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import type { TransitKey } from '../../src/transit/key.ts'
import { HandClock, settle } from '../fakes/clock.ts'

const MINUTE = 60_000

function fileOf(text: string): ContentFile {
  return { path: 'x', mode: 0o444, contents: Buffer.from(text), version: 'v' }
}

function contentOf(file: ContentFile, fetchedAt = 0) {
  return { files: new Map([[0, [file]]]), fetchedAt }
}

/** Returns the buffer inside the cache, which otherwise returns only copies. */
function spyOnCopy(): { last: () => Buffer; restore: () => void } {
  const from = Buffer.from.bind(Buffer)
  let last: Buffer = Buffer.alloc(0)
  const spy = (...args: Parameters<typeof Buffer.from>) => (last = from(...args))
  Object.assign(Buffer, { from: spy })
  return { last: () => last, restore: () => void Object.assign(Buffer, { from }) }
}

function keepAndSpy(cache: ContentCache, text: string): Buffer {
  const file = fileOf(text)
  const spy = spyOnCopy()
  cache.keep('volume', contentOf(file), 'shop')
  spy.restore()
  return spy.last()
}

void test('content is returned as copies, and zeroed and removed when it expires', async (t) => {
  const clock = new HandClock()
  const cache = new ContentCache({ maxAgeMs: 4 * MINUTE, clock })
  const kept = keepAndSpy(cache, 'secret')
  t.equal(kept.toString(), 'secret')
  cache.find('volume')?.files.get(0)?.[0]?.contents.fill(0)
  t.equal(cache.find('volume')?.files.get(0)?.[0]?.contents.toString(), 'secret')
  await clock.advance(4 * MINUTE - 1)
  t.equal(cache.size, 1)
  await clock.advance(1)
  t.equal(cache.size, 0, 'without a request')
  t.equal(kept.toString(), '\0'.repeat(6))
  t.equal(clock.pending, 0)
})

void test('content is zeroed when Mounts of its volume stop, and kept while they continue', async (t) => {
  const clock = new HandClock()
  const cache = new ContentCache({ maxAgeMs: 60 * MINUTE, clock })
  const kept = keepAndSpy(cache, 'secret')
  for (let minute = 0; minute < 10; minute += 1) {
    await clock.advance(MINUTE)
    t.ok(cache.find('volume'))
  }
  await clock.advance(5 * MINUTE)
  t.equal(cache.size, 0)
  t.equal(kept.toString(), '\0'.repeat(6))
})

void test('content is zeroed when it is replaced, removed or cleared', (t) => {
  const clock = new HandClock()
  const cache = new ContentCache({ maxAgeMs: MINUTE, clock })
  const replaced = keepAndSpy(cache, 'first!')
  const forgotten = keepAndSpy(cache, 'second')
  t.equal(replaced.toString(), '\0'.repeat(6))
  t.equal(forgotten.toString(), 'second')
  cache.forget('volume')
  t.equal(forgotten.toString(), '\0'.repeat(6))
  const cleared = keepAndSpy(cache, 'third!')
  cache.clear()
  t.equal(cleared.toString(), '\0'.repeat(6))
  t.equal(clock.pending, 0)
  t.end()
})

void test('with an age of 0 nothing is cached', (t) => {
  const cache = new ContentCache({ maxAgeMs: 0, clock: new HandClock() })
  cache.keep('volume', contentOf(fileOf('secret')), 'shop')
  t.equal(cache.size, 0)
  t.equal(cache.find('volume'), undefined)
  t.end()
})

function tokenOf(text: string, expiresAt: number) {
  const claims = { issuer: 'i', subject: 's', audiences: [], expiresAt }
  return { token: new Secret(text), claims }
}

function sessionFixture(maxSessions?: number) {
  const clock = new HandClock()
  const ended: string[] = []
  const sizes: number[] = []
  const cache = new SessionCache({
    open: (token) =>
      ({
        idle: () => Promise.resolve(),
        end: () => {
          ended.push(token.token.reveal())
          return Promise.resolve()
        },
      }) as unknown as PodSession,
    clock,
    onSize: (size) => sizes.push(size),
    ...(maxSessions === undefined ? {} : { maxSessions }),
  })
  return { clock, ended, sizes, cache }
}

void test('there is one session per token, role and Vault namespace', (t) => {
  const { cache, clock } = sessionFixture()
  const token = tokenOf('a', clock.now() + 60 * MINUTE)
  t.equal(cache.open(token, 'web', ''), cache.open(token, 'web', ''))
  t.not(cache.open(token, 'web', ''), cache.open(token, 'admin', ''))
  t.not(cache.open(token, 'web', ''), cache.open(token, 'web', 'team-a'))
  t.not(cache.open(token, 'web', ''), cache.open(tokenOf('b', clock.now() + MINUTE), 'web', ''))
  t.equal(cache.size, 4)
  t.end()
})

void test('a session ends when its token is no longer used', async (t) => {
  const { cache, clock, ended } = sessionFixture()
  const token = tokenOf('a', clock.now() + 600 * MINUTE)
  cache.open(token, 'web', '')
  await clock.advance(4 * MINUTE)
  cache.open(token, 'web', '')
  await clock.advance(4 * MINUTE)
  t.same(ended, [])
  await clock.advance(MINUTE)
  t.same(ended, ['a'])
  t.equal(clock.pending, 0)
})

void test('a session ends when its service-account token expires, even if it is in use', async (t) => {
  const { cache, clock, ended } = sessionFixture()
  const token = tokenOf('a', clock.now() + 10 * MINUTE)
  for (let minute = 0; minute < 10; minute += 1) {
    cache.open(token, 'web', '')
    await clock.advance(MINUTE)
  }
  t.same(ended, ['a'])
})

void test('if there are too many sessions the least recently used one ends, and stop ends all', async (t) => {
  const { cache, clock, ended, sizes } = sessionFixture(2)
  const tokens = ['a', 'b', 'c'].map((text) => tokenOf(text, clock.now() + 60 * MINUTE))
  for (const token of tokens) cache.open(token, 'web', '')
  await settle()
  t.same(ended, ['a'])
  await cache.stop({ deadline: clock.monotonic() + 1_000 })
  t.same(new Set(ended), new Set(['a', 'b', 'c']))
  t.equal(cache.size, 0)
  t.equal(sizes.at(-1), 0)
})

function keyOf(latestVersion: number, createdAt = latestVersion): TransitKey {
  return {
    name: 'k',
    type: 'ed25519',
    latestVersion,
    minDecryptionVersion: 1,
    minEncryptionVersion: 0,
    derived: false,
    softDeleted: false,
    versions: new Map([[latestVersion, { createdAt }]]),
  }
}

/** Readers of one key, whose reads the test answers by what is in `answers`. */
function keyFixture() {
  const clock = new HandClock()
  const cache = new KeyCache({ refreshIntervalMs: 30_000, revalidateAfterMs: 10 * MINUTE, clock })
  const reads: string[] = []
  const knownVersions: (number | undefined)[] = []
  const answers = new Map<string, TransitKey | BridgeError>()
  const read = (rights: string) => {
    const readKey: KeyReader['engine']['readKey'] = (_key, _context, reading) => {
      reads.push(rights)
      knownVersions.push(reading?.knownVersion)
      const answer = answers.get(rights) ?? keyOf(1)
      return answer instanceof BridgeError ? Promise.reject(answer) : Promise.resolve(answer)
    }
    const reader = { engine: { readKey }, place: ' transit', owner: 'shop', rights }
    return cache.read('k', reader, { deadline: clock.monotonic() + 1e9 })
  }
  return { clock, reads, knownVersions, answers, read }
}

void test('readers with the same permissions share one read per interval; others prove theirs once per revalidateAfter', async (t) => {
  const { clock, reads, read } = keyFixture()
  await Promise.all([read('a'), read('a'), read('a')])
  await read('a')
  t.same(reads, ['a'])
  await read('b')
  t.same(reads, ['a', 'b'], 'Vault decides for each')
  for (let round = 0; round < 18; round += 1) {
    await clock.advance(30_000)
    await Promise.all([read('a'), read('b')])
  }
  t.equal(reads.length, 20, 'one read an interval for both')
  await clock.advance(MINUTE)
  await read('a')
  await read('b')
  t.same(reads.slice(20), ['a', 'b'])
})

void test('five classes of 200 keys of one namespace do not cost others their key metadata', async (t) => {
  const clock = new HandClock()
  const cache = new KeyCache({ refreshIntervalMs: 30_000, revalidateAfterMs: 10 * MINUTE, clock })
  let reads = 0
  const engine = { readKey: () => Promise.resolve(keyOf((reads += 1))) }
  const context = { deadline: clock.monotonic() + 1e9 }
  const read = (owner: string, name: string) =>
    cache.read(name, { engine, place: ' transit', owner, rights: owner }, context)
  for (let index = 0; index < 50; index += 1) await read('shop', `shop-${String(index)}`)
  for (let round = 0; round < 11; round += 1) {
    for (let index = 0; index < 1_000; index += 1)
      await read('crowd', `crowd-${String(round)}-${String(index)}`)
  }
  reads = 0
  for (let index = 0; index < 50; index += 1) await read('shop', `shop-${String(index)}`)
  t.equal(reads, 0, 'neither the metadata nor the permissions were removed')
})

void test('a pod with a thousand roles does not end the sessions of others', async (t) => {
  const { cache, clock, ended } = sessionFixture(10)
  const tokenIn = (namespace: string) => {
    const { token, claims } = tokenOf(namespace, clock.now() + 60 * MINUTE)
    return { token, claims: { ...claims, subject: `system:serviceaccount:${namespace}:web` } }
  }
  const session = cache.open(tokenIn('shop'), 'web', '')
  for (let index = 0; index < 1_000; index += 1)
    cache.open(tokenIn('crowd'), `web-${String(index)}`, '')
  await settle()
  t.equal(cache.open(tokenIn('shop'), 'web', ''), session)
  t.same(new Set(ended), new Set(['crowd']))
  t.equal(cache.size, 10)
})

void test('volumes of one namespace do not replace the content of others', (t) => {
  const cache = new ContentCache({ maxAgeMs: MINUTE, clock: new HandClock() })
  cache.keep('shop', contentOf(fileOf('secret')), 'shop')
  const large = fileOf('x'.repeat(1024 * 1024))
  for (let index = 0; index < 100; index += 1)
    cache.keep(`crowd-${String(index)}`, contentOf(large), 'crowd')
  t.ok(cache.find('shop'))
  t.ok(cache.size > 60 && cache.size < 65)
  cache.clear()
  t.end()
})

void test('a reader that Vault denies gets nothing from the cache and does not affect other readers', async (t) => {
  const { clock, answers, reads, read } = keyFixture()
  await read('a')
  answers.set('b', new BridgeError('VAULT_DENIED', 'no'))
  await t.rejects(read('b'), { code: 'VAULT_DENIED' })
  await t.rejects(read('b'), { code: 'VAULT_DENIED' })
  t.same(reads, ['a', 'b', 'b'])
  answers.delete('b')
  await read('b')
  await clock.advance(30_000)
  answers.set('a', new BridgeError('VAULT_DENIED', 'no'))
  const both = await Promise.allSettled([read('a'), read('b')])
  t.same(
    both.map(({ status }) => status),
    ['rejected', 'fulfilled'],
  )
})

void test('older key metadata, for example from a lagging standby, is ignored for two minutes', async (t) => {
  const { clock, answers, read } = keyFixture()
  answers.set('a', keyOf(3))
  await read('a')
  answers.set('a', keyOf(2))
  await clock.advance(30_000)
  t.equal((await read('a')).key?.latestVersion, 3)
  for (let round = 0; round < 4; round += 1) {
    await clock.advance(30_000)
    await read('a')
  }
  t.equal((await read('a')).key?.latestVersion, 2, 'a restore stays')
  answers.set('a', keyOf(1, 99))
  await clock.advance(30_000)
  t.equal(
    (await read('a')).key?.latestVersion,
    1,
    'a key that was created again is accepted at once',
  )
})

void test('a read names the version that is known, so that the client leaves a node that lags for longer', async (t) => {
  const { clock, answers, knownVersions, read } = keyFixture()
  answers.set('a', keyOf(3))
  await read('a')
  answers.set('a', keyOf(2))
  for (let round = 0; round < 6; round += 1) {
    await clock.advance(30_000)
    await read('a')
  }
  t.same(knownVersions, [undefined, 3, 3, 3, 3, 3, 2], 'a restore becomes the known state')
})

void test('shared content is zeroed after the last caller has its copy or gives up', async (t) => {
  const clock = new HandClock()
  const shared = new SharedMounts(clock)
  const original = fileOf('secret')
  const work = Promise.withResolvers<ServedContent>()
  const context = { deadline: 10_000 }
  const calls = [1, 2].map(() => shared.run('id', () => work.promise, context))
  work.resolve({ files: [original], confirmedAt: 5 })
  const [one, two] = await Promise.all(calls)
  t.equal(one?.files[0]?.contents.toString(), 'secret')
  t.equal(two?.files[0]?.contents.toString(), 'secret')
  await settle()
  t.equal(original.contents.toString(), '\0'.repeat(6))

  t.same(
    [one?.confirmedAt, two?.confirmedAt],
    [5, 5],
    'a Mount that joins has content of the same age',
  )

  const late = fileOf('secret')
  const slow = Promise.withResolvers<ServedContent>()
  const given = shared.run('id', () => slow.promise, context)
  const outcome = t.rejects(given, { code: 'DEADLINE_EXCEEDED' })
  await clock.advance(10_000)
  await outcome
  slow.resolve({ files: [late], confirmedAt: 0 })
  await settle()
  t.equal(late.contents.toString(), '\0'.repeat(6))
})
