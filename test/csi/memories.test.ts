import { test } from 'tap'
import { ContentMemory } from '../../src/csi/volume/content-memory.ts'
import type { ContentFile } from '../../src/csi/volume/content.ts'
import { KeyMemory } from '../../src/csi/volume/key-memory.ts'
import type { PodSession } from '../../src/csi/identity/pod-session.ts'
import { SessionMemory } from '../../src/csi/identity/session-memory.ts'
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

/** The very buffer that a memory keeps: it is given out only as copies. */
function spyOnCopy(): { last: () => Buffer; restore: () => void } {
  const from = Buffer.from.bind(Buffer)
  let last: Buffer = Buffer.alloc(0)
  const spy = (...args: Parameters<typeof Buffer.from>) => (last = from(...args))
  Object.assign(Buffer, { from: spy })
  return { last: () => last, restore: () => void Object.assign(Buffer, { from }) }
}

function keepAndSpy(memory: ContentMemory, text: string): Buffer {
  const file = fileOf(text)
  const spy = spyOnCopy()
  memory.keep('volume', contentOf(file))
  spy.restore()
  return spy.last()
}

void test('content is given out as copies, and zeroed and gone when its time is over', async (t) => {
  const clock = new HandClock()
  const memory = new ContentMemory({ maxAge: 4 * MINUTE, clock })
  const kept = keepAndSpy(memory, 'secret')
  t.equal(kept.toString(), 'secret')
  memory.find('volume')?.files.get(0)?.[0]?.contents.fill(0)
  t.equal(memory.find('volume')?.files.get(0)?.[0]?.contents.toString(), 'secret')
  await clock.advance(4 * MINUTE - 1)
  t.equal(memory.size, 1)
  await clock.advance(1)
  t.equal(memory.size, 0, 'without anybody asking')
  t.equal(kept.toString(), '\0'.repeat(6))
  t.equal(clock.pending, 0)
})

void test('content is zeroed when its volume stops asking, and kept while it asks', async (t) => {
  const clock = new HandClock()
  const memory = new ContentMemory({ maxAge: 60 * MINUTE, clock })
  const kept = keepAndSpy(memory, 'secret')
  for (let minute = 0; minute < 10; minute += 1) {
    await clock.advance(MINUTE)
    t.ok(memory.find('volume'))
  }
  await clock.advance(5 * MINUTE)
  t.equal(memory.size, 0)
  t.equal(kept.toString(), '\0'.repeat(6))
})

void test('content is zeroed when it is replaced, forgotten or cleared', (t) => {
  const clock = new HandClock()
  const memory = new ContentMemory({ maxAge: MINUTE, clock })
  const replaced = keepAndSpy(memory, 'first!')
  const forgotten = keepAndSpy(memory, 'second')
  t.equal(replaced.toString(), '\0'.repeat(6))
  t.equal(forgotten.toString(), 'second')
  memory.forget('volume')
  t.equal(forgotten.toString(), '\0'.repeat(6))
  const cleared = keepAndSpy(memory, 'third!')
  memory.clear()
  t.equal(cleared.toString(), '\0'.repeat(6))
  t.equal(clock.pending, 0)
  t.end()
})

void test('with an age of 0 nothing is kept', (t) => {
  const memory = new ContentMemory({ maxAge: 0, clock: new HandClock() })
  memory.keep('volume', contentOf(fileOf('secret')))
  t.equal(memory.size, 0)
  t.equal(memory.find('volume'), undefined)
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
  const memory = new SessionMemory({
    open: (token) =>
      ({
        end: () => {
          ended.push(token.token.reveal())
          return Promise.resolve()
        },
      }) as unknown as PodSession,
    clock,
    onSize: (size) => sizes.push(size),
    ...(maxSessions === undefined ? {} : { maxSessions }),
  })
  return { clock, ended, sizes, memory }
}

void test('one token and role has one session, and another role another one', (t) => {
  const { memory, clock } = sessionFixture()
  const token = tokenOf('a', clock.now() + 60 * MINUTE)
  t.equal(memory.open(token, 'web'), memory.open(token, 'web'))
  t.not(memory.open(token, 'web'), memory.open(token, 'admin'))
  t.not(memory.open(token, 'web'), memory.open(tokenOf('b', clock.now() + MINUTE), 'web'))
  t.equal(memory.size, 3)
  t.end()
})

void test('a session is ended when nobody comes with its token any more', async (t) => {
  const { memory, clock, ended } = sessionFixture()
  const token = tokenOf('a', clock.now() + 600 * MINUTE)
  memory.open(token, 'web')
  await clock.advance(4 * MINUTE)
  memory.open(token, 'web')
  await clock.advance(4 * MINUTE)
  t.same(ended, [])
  await clock.advance(MINUTE)
  t.same(ended, ['a'])
  t.equal(clock.pending, 0)
})

void test('a session is ended with its service-account token, however much it is used', async (t) => {
  const { memory, clock, ended } = sessionFixture()
  const token = tokenOf('a', clock.now() + 10 * MINUTE)
  for (let minute = 0; minute < 10; minute += 1) {
    memory.open(token, 'web')
    await clock.advance(MINUTE)
  }
  t.same(ended, ['a'])
})

void test('the session that was used least goes when there are too many, and all go at the end', async (t) => {
  const { memory, clock, ended, sizes } = sessionFixture(2)
  const tokens = ['a', 'b', 'c'].map((text) => tokenOf(text, clock.now() + 60 * MINUTE))
  for (const token of tokens) memory.open(token, 'web')
  t.same(ended, ['a'])
  await memory.stop({ deadline: clock.monotonic() + 1_000 })
  t.same(new Set(ended), new Set(['a', 'b', 'c']))
  t.equal(memory.size, 0)
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
  const memory = new KeyMemory({ refreshInterval: 30_000, revalidateAfter: 10 * MINUTE, clock })
  const reads: string[] = []
  const answers = new Map<string, TransitKey | BridgeError>()
  const read = (rights: string) => {
    const readKey = () => {
      reads.push(rights)
      const answer = answers.get(rights) ?? keyOf(1)
      return answer instanceof BridgeError ? Promise.reject(answer) : Promise.resolve(answer)
    }
    return memory.read('k', { engine: { readKey }, rights }, { deadline: clock.monotonic() + 1e9 })
  }
  return { clock, reads, answers, read }
}

void test('readers with the same rights share one read an interval; others prove theirs once in revalidateAfter', async (t) => {
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

void test('a reader that Vault denies gets nothing from memory, and harms nobody else', async (t) => {
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

void test('an older view of a key, as of a standby that lags, is not believed for two minutes', async (t) => {
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
  t.equal((await read('a')).key?.latestVersion, 1, 'a key that was made again is believed at once')
})

void test('work that is shared is zeroed when the last has its copy, and when nobody is left', async (t) => {
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
