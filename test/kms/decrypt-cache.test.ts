import { mock } from 'node:test'
import { test } from 'tap'
import { DecryptCache } from '../../src/kms/decrypt-cache.ts'
import type { OpenedEnvelope } from '../../src/seed/envelope.ts'

const TTL = 86_400_000

/** A cache whose time the test sets, and the buffers that it keeps inside. */
function scene(maxEntries = 3) {
  let now = 1_000
  const kept: Buffer[] = []
  const cache = new DecryptCache({ maxEntries, ttl: TTL, now: () => now })
  const keep = (envelope: OpenedEnvelope, plaintext: string) => {
    // The copy that the cache makes is caught, to see that it is zeroed.
    const from = mock.method(Buffer, 'from')
    cache.keep(envelope, Buffer.from(plaintext))
    const copy: unknown = from.mock.calls.at(-1)?.result
    from.mock.restore()
    if (Buffer.isBuffer(copy)) kept.push(copy)
  }
  return { cache, keep, kept, advance: (milliseconds: number) => void (now += milliseconds) }
}

const envelope = (name: string, aad: string | undefined = 'aad'): OpenedEnvelope => ({
  ciphertext: `vault:v1:${name}`,
  keyVersion: 1,
  associatedData: Buffer.from(aad),
})

void test('what was kept is found, as a copy that its owner may zero', (t) => {
  const { cache } = scene()
  const plaintext = Buffer.from('seed')
  cache.keep(envelope('A'), plaintext)
  plaintext.fill(0)
  t.equal(cache.find(envelope('A'))?.fill(0).length, 4)
  t.equal(cache.find(envelope('A'))?.toString(), 'seed')
  t.end()
})

const MISSES: readonly (readonly [string, OpenedEnvelope])[] = [
  ['another ciphertext', envelope('B')],
  ['other additional data', envelope('A', 'aae')],
  ['no additional data', { ciphertext: 'vault:v1:A', keyVersion: 1 }],
  ['a byte moved from the data to the ciphertext', envelope('Aa', 'ad')],
]

for (const [what, other] of MISSES) {
  void test(`${what} is a miss`, (t) => {
    const { cache } = scene()
    cache.keep(envelope('A'), Buffer.from('seed'))
    t.equal(cache.find(other), undefined)
    t.end()
  })
}

void test('the least used seed goes when there are too many, and is zeroed', (t) => {
  const { cache, keep, kept } = scene()
  for (const name of ['A', 'B', 'C']) keep(envelope(name), name)
  cache.find(envelope('A'))
  keep(envelope('D'), 'D')
  t.equal(cache.size, 3)
  t.equal(cache.find(envelope('B')), undefined)
  t.same(
    kept.map((seed) => seed.toString()),
    ['A', '\0', 'C', 'D'],
  )
  t.end()
})

void test('a seed ends with its time, which use does not prolong, and is zeroed', (t) => {
  const { cache, keep, kept, advance } = scene()
  keep(envelope('A'), 'A')
  advance(TTL - 1)
  t.equal(cache.find(envelope('A'))?.toString(), 'A')
  advance(2)
  t.equal(cache.find(envelope('A')), undefined)
  t.equal(kept[0]?.toString(), '\0')
  t.end()
})

void test('a seed that nobody asks for is gone from memory at its end, too', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { cache, keep, kept, advance } = scene()
  keep(envelope('A'), 'A')
  advance(TTL + 1)
  mock.timers.tick(TTL + 1)
  t.equal(cache.size, 0)
  t.equal(kept[0]?.toString(), '\0')
  t.end()
})

void test('clearing zeroes every seed', (t) => {
  const { cache, keep, kept } = scene()
  keep(envelope('A'), 'A')
  keep(envelope('B'), 'B')
  cache.clear()
  t.equal(cache.size, 0)
  t.same(
    kept.map((seed) => seed.toString()),
    ['\0', '\0'],
  )
  t.end()
})

void test('a seed that is kept again replaces the old copy, which is zeroed', (t) => {
  const { cache, keep, kept } = scene()
  keep(envelope('A'), 'A')
  keep(envelope('A'), 'Z')
  t.equal(cache.size, 1)
  t.equal(cache.find(envelope('A'))?.toString(), 'Z')
  t.equal(kept[0]?.toString(), '\0')
  t.end()
})
