import { Writable } from 'node:stream'
import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { DigestSet } from '../../src/digest-set.ts'
import { Pace } from '../../src/time/pace.ts'
import { PageSize } from '../../src/page-size.ts'
import { scanStore } from '../../src/verify/scan.ts'
import type { Store } from '../../src/etcd/store.ts'
import { Progress } from '../../src/commands/cli/progress.ts'
import { HandClock } from '../fakes/clock.ts'

void test('a set of digests contains what was added, also after it grew', (t) => {
  const set = new DigestSet()
  const known = Array.from({ length: 5000 }, () => randomBytes(20))
  t.ok(known.every((bytes) => set.add(bytes)))
  t.equal(set.size, 5000)
  t.notOk(known.some((bytes) => set.add(bytes)))
  t.ok(set.add(Buffer.from('a'), Buffer.from('b')))
  t.notOk(set.add(Buffer.from('ab')))
  t.end()
})

void test('the size of a page stays near the requested bytes', (t) => {
  const size = new PageSize(1000)
  t.equal(size.limit, 100)
  size.learn(100, 100)
  t.equal(size.limit, 200, 'at most twice as long')
  size.learn(200, 20_000)
  t.equal(size.limit, 10)
  size.learn(10, 100_000)
  t.equal(size.limit, 1)
  t.notOk(size.shrink())
  size.learn(0, 0)
  t.equal(size.limit, 1)
  t.end()
})

void test('a rate is kept by pauses, which an abort ends', async (t) => {
  const clock = new HandClock()
  const abort = new AbortController()
  const pace = new Pace(100, clock)
  let done = false
  const spent = pace.spend(50, abort.signal).then(() => (done = true))
  await clock.advance(499)
  t.notOk(done)
  await clock.advance(1)
  await spent
  t.ok(done)
  const other = pace.spend(1_000_000, abort.signal)
  abort.abort()
  await other
  await pace.spend(1_000_000, abort.signal)
  await new Pace(undefined, clock).spend(1_000_000, new AbortController().signal)
  t.equal(clock.pending, 0)
})

void test('a scan that is stopped proves nothing', async (t) => {
  const abort = new AbortController()
  const store: Store = {
    name: 'a store',
    revisions: [],
    faults: [],
    foundMarkers: new Set(),
    fraction: undefined,
    async *readPages() {
      yield Promise.resolve([{ key: Buffer.from('/registry/secrets/a/a'), value: Buffer.of(1) }])
      abort.abort()
    },
    findPrefixes: () => Promise.resolve(['/registry/']),
    close: () => Promise.resolve(),
  }
  const options = { store, selection: { prefix: '/registry/' }, clock: new HandClock() }
  await t.rejects(scanStore({ ...options, signal: abort.signal }), { code: 'CANCELLED' })
})

function collect(isTTY: boolean) {
  const lines: string[] = []
  const stderr = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString('utf8'))
      done()
    },
  })
  return { lines, stderr: Object.assign(stderr, { isTTY }) }
}

void test('progress is a bar on a terminal', async (t) => {
  const clock = new HandClock()
  const { lines, stderr } = collect(true)
  const progress = new Progress({ stderr, clock, what: 'objects read' })
  progress.show(0, undefined)
  progress.show(1, 0.1)
  await clock.advance(2_000)
  progress.show(5_000, 0.5)
  progress.end()
  t.same(lines, [
    '\r0 objects read\u001b[K',
    '\r[############............] 5,000 objects read, 50 %, 2 s left\u001b[K',
    '\r\u001b[K',
  ])
})

void test('progress is an occasional line elsewhere', async (t) => {
  const clock = new HandClock()
  const { lines, stderr } = collect(false)
  const progress = new Progress({ stderr, clock, what: 'objects read' })
  progress.show(1, 0.01)
  await clock.advance(10_000)
  progress.show(5_000, 0.05)
  progress.end()
  t.same(lines, ['transit-bridge: 5,000 objects read, 5 %, 4 min left\n'])
})
