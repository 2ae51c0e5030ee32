import { mock } from 'node:test'
import { test } from 'tap'
import { DecryptCache } from '../../src/kms/decrypt-cache.ts'
import type { OpenedEnvelope } from '../../src/seed/envelope.ts'
import { HandClock } from '../fakes/clock.ts'

const TTL_MS = 86_400_000
const seed = (letter: string) => Buffer.alloc(32, letter)

/** A cache with the buffer that holds its seeds. */
function fixture(maxEntries = 3) {
  const clock = new HandClock()
  const alloc = mock.method(Buffer, 'alloc')
  const cache = new DecryptCache({ maxEntries, ttlMs: TTL_MS, clock })
  const memory: unknown = alloc.mock.calls.at(-1)?.result
  alloc.mock.restore()
  if (!Buffer.isBuffer(memory)) throw new Error('the cache has no buffer')
  return {
    cache,
    clock,
    keep: (name: string) => cache.keep(envelope(name), seed(name)),
    find: (name: string) => cache.find(envelope(name))?.toString(),
    /** The letters of the seeds in memory. */
    letters: () => [...new Set(memory.toString('latin1').replaceAll('\0', ''))].toSorted().join(''),
  }
}

const envelope = (name: string, aad = 'aad'): OpenedEnvelope => ({
  ciphertext: `vault:v1:${name}`,
  keyVersion: 1,
  associatedData: Buffer.from(aad),
})

void test('find returns a copy that its owner may zero', async (t) => {
  const { cache, find } = fixture()
  const plaintext = seed('A')
  cache.keep(envelope('A'), plaintext)
  plaintext.fill(0)
  t.equal(cache.find(envelope('A'))?.fill(0).length, 32)
  t.equal(find('A'), 'A'.repeat(32))
})

const MISSES: readonly (readonly [string, OpenedEnvelope])[] = [
  ['another ciphertext', envelope('B')],
  ['other AAD', envelope('A', 'aae')],
  ['no AAD', { ciphertext: 'vault:v1:A', keyVersion: 1 }],
  ['a byte moved from the AAD to the ciphertext', envelope('Aa', 'ad')],
]

for (const [what, other] of MISSES) {
  void test(`${what} is a miss`, async (t) => {
    const { cache, keep } = fixture()
    keep('A')
    t.equal(cache.find(other), undefined)
  })
}

// KMS v1 probes the plugin with "ping" (kube-apiserver, encryptionconfig/config.go): one more ciphertext each time.
for (const bytes of [0, 4, 31, 33, 64]) {
  void test(`a plaintext of ${String(bytes)} bytes is not a DEK seed and is not kept`, async (t) => {
    const { cache, keep, letters } = fixture()
    keep('A')
    for (const name of ['B', 'C', 'D', 'E']) cache.keep(envelope(name), Buffer.alloc(bytes, name))
    t.equal(cache.size, 1)
    t.equal(letters(), 'A')
  })
}

void test('the least recently used seed is evicted and zeroed', async (t) => {
  const { cache, keep, find, letters } = fixture()
  for (const name of ['A', 'B', 'C']) keep(name)
  find('A')
  keep('D')
  t.equal(cache.size, 3)
  t.equal(find('B'), undefined)
  t.equal(letters(), 'ACD')
  for (const name of ['A', 'C', 'D']) t.equal(find(name), name.repeat(32))
})

void test('a seed expires; use does not prolong it, and it is zeroed', async (t) => {
  const { keep, find, letters, clock } = fixture()
  keep('A')
  await clock.advance(TTL_MS)
  t.equal(find('A'), 'A'.repeat(32))
  await clock.advance(1)
  t.equal(find('A'), undefined)
  t.equal(letters(), '')
})

void test('a seed that no call asks for is zeroed within a minute after it expired', async (t) => {
  const { cache, keep, letters, clock } = fixture()
  keep('A')
  await clock.advance(1_000)
  keep('B')
  await clock.advance(TTL_MS + 60_000)
  t.equal(letters(), '')
  t.equal(cache.size, 0)
  t.equal(clock.pending, 0, 'an empty cache has no timer')
})

void test('the time in which the machine was suspended counts', async (t) => {
  const { keep, find, clock } = fixture()
  keep('A')
  await clock.advance(1_000)
  clock.epoch += TTL_MS
  t.equal(find('A'), undefined)
})

void test('a wall clock that is set back does not prolong a seed', async (t) => {
  const { keep, find, clock } = fixture()
  keep('A')
  clock.epoch -= TTL_MS
  await clock.advance(TTL_MS + 1)
  t.equal(find('A'), undefined)
})

void test('clear zeroes every seed', async (t) => {
  const { cache, keep, letters, clock } = fixture()
  keep('A')
  keep('B')
  t.equal(letters(), 'AB')
  cache.clear()
  t.equal(cache.size, 0)
  t.equal(letters(), '')
  t.equal(clock.pending, 0)
})

void test('a seed that is kept again replaces the old copy, which is zeroed', async (t) => {
  const { cache, keep, find, letters } = fixture(1)
  keep('A')
  cache.keep(envelope('A'), seed('Z'))
  t.equal(cache.size, 1)
  t.equal(find('A'), 'Z'.repeat(32))
  t.equal(letters(), 'Z')
})

void test('a thousand seeds in a cache of three: each is found right after it was kept', async (t) => {
  const { cache, letters } = fixture()
  let found = 0
  for (let index = 0; index < 1_000; index += 1) {
    const letter = String.fromCodePoint(65 + (index % 26))
    cache.keep(envelope(String(index)), seed(letter))
    if (cache.find(envelope(String(index)))?.equals(seed(letter)) === true) found += 1
  }
  t.equal(found, 1_000)
  t.equal(letters().length, 3)
})
