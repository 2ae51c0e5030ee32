// An object whose update is always answered 500, because the API server cannot call an admission webhook, stops no other one.
import { test } from 'tap'

import { KubeClient } from '../../src/kube/client.ts'
import { Persistence } from '../../src/kube/persistence.ts'
import { Rewriter } from '../../src/rewrite/rewriter.ts'
import { progressOf, type RewriteState } from '../../src/rewrite/state.ts'
import { formatResult } from '../../src/rewrite/text.ts'
import { FakeKubeServer, type Call } from '../fakes/kube-server.ts'
import { fixture, skippingClock } from './fixture.ts'

const PATIENCE_MS = 120_000
const GONE = { status: 500, body: { message: 'failed calling webhook "gone.example.com"' } }

const isPatch = ({ method }: Call) => method === 'PATCH'
const isDryRun = ({ query }: Call) => query.get('dryRun') === 'All'

function isPatchOf(...names: readonly string[]) {
  return (call: Call) => isPatch(call) && names.some((name) => call.path.endsWith(name))
}

function usual(count: number) {
  const clock = skippingClock()
  return { count, clock, given: { clock, patienceMs: PATIENCE_MS } }
}

void test('an object that the API server cannot write for a lasting reason is reported, and the others are rewritten', async (t) => {
  const { count, clock, given } = usual(30)
  const { kube, run, notes } = await fixture(t, count, given)
  const isOfOne = isPatchOf('s0001')
  kube.intercept = (call) => (isOfOne(call) ? GONE : undefined)
  const result = await run()
  t.match(result.resources, [{ done: true, counts: { rewritten: 29, refused: 1 } }])
  t.match(
    formatResult(result),
    /secrets default\/s0001: not rewritten: .*500 for PATCH .*: failed calling webhook "gone.example.com"; .* webhook is probably gone: repair it or remove its configuration, then run the same command again/,
  )
  t.match(notes, [/s0001: failed calling webhook .*; retrying/])
  t.ok(clock.monotonic() >= 20_000, 'a webhook that restarts has this long')
  t.ok(clock.monotonic() < PATIENCE_MS)
  t.same(
    [...kube.objects.values()].filter(({ stale }) => stale).map(({ name }) => name),
    ['s0001'],
  )
  t.match((await run()).resources, [{ counts: { current: 29, refused: 1 } }], 'so does a later run')
  kube.intercept = () => undefined
  t.match((await run()).resources, [{ counts: { current: 29, rewritten: 1, refused: 0 } }])
})

void test('any number of such objects in a row are reported', async (t) => {
  const { count, clock, given } = usual(60)
  const { kube, run } = await fixture(t, count, given)
  const isGuarded = isPatchOf(...[...kube.objects.keys()].slice(0, 50))
  kube.intercept = (call) => (isGuarded(call) ? GONE : undefined)
  const { resources, refusals } = await run()
  t.match(resources, [{ done: true, counts: { rewritten: 10, refused: 50 } }])
  t.equal(refusals.length, 20)
  t.ok(clock.monotonic() < PATIENCE_MS, 'they do not wait one after the other')
})

void test('a webhook that restarts is waited for', async (t) => {
  const { count, clock, given } = usual(10)
  const { kube, run } = await fixture(t, count, given)
  const isOfOne = isPatchOf('s0009')
  kube.intercept = (call) => (isOfOne(call) && clock.monotonic() < 15_000 ? GONE : undefined)
  t.match((await run()).resources, [{ counts: { rewritten: 10, refused: 0 } }])
})

for (const status of [0, 429, 503, 504]) {
  const what = status === 0 ? 'a closed connection' : String(status)
  void test(`${what} for one object is an error after the patience`, async (t) => {
    const { count, clock, given } = usual(10)
    const { kube, run } = await fixture(t, count, given)
    const isOfOne = isPatchOf('s0001')
    kube.intercept = (call) => (isOfOne(call) ? { status, body: {} } : undefined)
    await t.rejects(run(), { code: status === 0 ? 'KUBE_UNREACHABLE' : 'KUBE_BUSY' })
    t.ok(clock.monotonic() > PATIENCE_MS)
  })
}

void test('500 is an error after the patience if only the write fails, as without the KMS plugin or etcd', async (t) => {
  const { count, clock, given } = usual(10)
  const { kube, run } = await fixture(t, count, given)
  const isOfOne = isPatchOf('s0001')
  kube.intercept = (call) => (isOfOne(call) && !isDryRun(call) ? GONE : undefined)
  await t.rejects(run(), { code: 'KUBE_BUSY' })
  t.ok(clock.monotonic() > PATIENCE_MS)
})

void test('500 is an error after the patience if the write alone fails now and then', async (t) => {
  const { count, clock, given } = usual(10)
  const { kube, run } = await fixture(t, count, given)
  const isOfOne = isPatchOf('s0001')
  let dryRuns = 0
  kube.intercept = (call) => {
    if (!isOfOne(call)) return undefined
    return isDryRun(call) && (dryRuns += 1) % 3 === 0 ? undefined : GONE
  }
  await t.rejects(run(), { code: 'KUBE_BUSY' })
  t.ok(clock.monotonic() > PATIENCE_MS)
})

void test('500 for every object is an error after the patience', async (t) => {
  const { count, clock, given } = usual(30)
  const { kube, run } = await fixture(t, count, given)
  kube.intercept = (call) => (isPatch(call) ? GONE : undefined)
  await t.rejects(run(), { code: 'KUBE_BUSY', message: /failed calling webhook/ })
  t.ok(clock.monotonic() > PATIENCE_MS)
})

void test('500 for every object, since some were rewritten, is an error after the patience', async (t) => {
  const { count, clock, given } = usual(30)
  const { kube, run } = await fixture(t, count, given)
  const written = new Set<string>()
  kube.intercept = (call) => {
    if (!isPatch(call) || (written.size < 10 && written.add(call.path))) return undefined
    return GONE
  }
  await t.rejects(run(), { code: 'KUBE_BUSY' })
  t.equal(written.size, 10)
  t.ok(clock.monotonic() > PATIENCE_MS)
})

void test('a run that resumes with such objects only reports them', async (t) => {
  const { count, given } = usual(501)
  const { kube, run, notes } = await fixture(t, count, given)
  const isLast = isPatchOf('s0500')
  const abort = new AbortController()
  let tries = 0
  kube.intercept = (call) => {
    if (!isLast(call)) return undefined
    if (!isDryRun(call) && (tries += 1) === 3) abort.abort()
    return GONE
  }
  await t.rejects(run(abort.signal), { code: 'CANCELLED' })
  const before = kube.calls.filter(isPatch).length
  const { resources, refusals } = await run()
  t.ok(notes.some((note) => note.startsWith('resuming the rewrite of')))
  t.match(resources, [{ done: true, counts: { rewritten: 500, refused: 1 } }])
  t.match(refusals, [{ object: 'secrets default/s0500' }])
  const later = kube.calls.filter(isPatch).slice(before)
  t.notOk(
    later.some((call) => !isDryRun(call) && !isLast(call)),
    'no other object is written',
  )
})

void test('a resource of which every object fails is reported if objects of another one can be updated', async (t) => {
  const { count, given } = usual(10)
  const patterns = ['secrets', 'widgets.example.com']
  const { kube, run } = await fixture(t, count, { ...given, patterns })
  kube.groups = [{ name: 'example.com', versions: [{ version: 'v1' }] }]
  const widgets = { name: 'widgets', namespaced: true, verbs: ['list', 'patch'] }
  const metadata = { name: 'w', namespace: 'default', uid: 'u', resourceVersion: '7' }
  kube.intercept = (call) => {
    const { path } = call
    if (path === '/apis/example.com/v1') return { status: 200, body: { resources: [widgets] } }
    if (path === '/apis/example.com/v1/widgets')
      return { status: 200, body: { metadata: {}, items: [{ metadata }] } }
    if (path.startsWith('/apis/example.com/'))
      return { status: 200, body: { metadata: { ...metadata, resourceVersion: '8' } } }
    return isPatch(call) ? GONE : undefined
  }
  const { resources } = await run()
  t.match(resources, [
    { resource: 'secrets', counts: { refused: 10 } },
    { resource: 'widgets.example.com', counts: { rewritten: 1 } },
  ])
})

void test('an object that fails on one API server only is rewritten on another one', async (t) => {
  const { count, clock } = usual(80)
  const servers = await Promise.all([FakeKubeServer.start(), FakeKubeServer.start()])
  const [first, second] = servers
  for (let index = 0; index < count; index += 1)
    second.objects.set(`s${String(index)}`, first.add(`s${String(index)}`))
  const clients = servers.map(
    ({ address, authority }) =>
      new KubeClient({ server: address, ca: authority.caPem, serverNames: [] }, clock),
  )
  t.teardown(() => {
    for (const client of clients) client.close()
    for (const server of servers) server.stop()
  })
  const isOfOne = isPatchOf('/s3')
  const triedAt: number[] = []
  first.intercept = (call) => {
    if (!isOfOne(call)) return undefined
    if (!isDryRun(call)) triedAt.push(clock.monotonic())
    return GONE
  }
  const state: RewriteState = {
    version: 1,
    procedure: 'rewrite',
    cluster: 'cluster-uid',
    key: 'key',
    startedAt: 'then',
    resources: [],
  }
  const resource = { name: 'secrets', group: '' }
  const options = { clients, clock, patienceMs: PATIENCE_MS, onTrouble: () => undefined }
  const rewriter = new Rewriter({
    persistence: new Persistence(options),
    state,
    patienceMs: PATIENCE_MS,
    samples: [],
    save: () => Promise.resolve(),
    rate: 1,
    clock,
    onObject: () => undefined,
  })
  const { signal } = new AbortController()
  await rewriter.rewrite({ resource, version: 'v1', isNamespaced: true }, signal)
  const [failedAt = 0, again = 0] = triedAt
  t.ok(again - failedAt >= 20_000, 'it had failed for long when it was tried again')
  t.match(progressOf(state, resource).counts, { rewritten: 80, refused: 0 })
})
