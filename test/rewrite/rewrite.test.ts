import { test } from 'tap'

import { planRewrite, runRewrite } from '../../src/rewrite/procedure.ts'
import { formatPlan, formatResult } from '../../src/rewrite/text.ts'
import type { Call } from '../fakes/kube-server.ts'
import { fixture, skippingClock } from './fixture.ts'

void test('every stale object is rewritten once, over several pages', async (t) => {
  const { kube, run } = await fixture(t, 1201)
  const { resources } = await run()
  t.match(resources, [{ resource: 'secrets', counts: { rewritten: 1201, current: 0 } }])
  t.notOk([...kube.objects.values()].some(({ stale }) => stale))
  const patches = kube.calls.filter(({ method }) => method === 'PATCH')
  t.equal(patches.length, 1201)
  for (const { body } of patches)
    t.same(Object.keys((body as { metadata: object }).metadata), ['uid', 'resourceVersion'])
  const again = await run()
  t.match(formatResult(again), 'secrets: 1,201 already current')
})

void test('an object that others change is read again; one that is gone, or new under its name, is not touched', async (t) => {
  const { kube, run } = await fixture(t, 4)
  kube.intercept = ({ method, path }) => {
    if (method !== 'PATCH') return undefined
    if (path.endsWith('s0000')) kube.touch('s0000')
    if (path.endsWith('s0001')) kube.objects.delete('s0001')
    if (path.endsWith('s0002'))
      Object.assign(kube.objects.get('s0002') ?? {}, { uid: 'another', version: 900 })
    return undefined
  }
  const { resources } = await run()
  t.match(resources, [{ counts: { rewritten: 1, gone: 2, writtenByOthers: 1 } }])
})

void test('transient errors are retried, refused objects are listed, and a missing right is an error', async (t) => {
  const { kube, run, notes } = await fixture(t, 3)
  let failures = 0
  kube.intercept = ({ method, path, query }) => {
    if (method !== 'PATCH') return undefined
    if (path.endsWith('s0001')) return { status: 422, body: { message: 'spec is\u0007 invalid' } }
    if (path.endsWith('s0002') && !query.has('dryRun') && (failures += 1) < 3)
      return { status: 500, body: { message: 'vault is unavailable' } }
    return undefined
  }
  const result = await run()
  t.match(result.resources, [{ counts: { rewritten: 2, refused: 1 } }])
  t.match(
    formatResult(result),
    /secrets default\/s0001: not rewritten: .*422 for PATCH .*: spec is invalid/,
  )
  t.match(notes, [/returns 500 for PATCH .*: vault is unavailable; retrying/])
  kube.intercept = ({ path }) =>
    path.endsWith('selfsubjectaccessreviews')
      ? { status: 201, body: { status: { allowed: false } } }
      : undefined
  await t.rejects(run(), {
    code: 'KUBE_DENIED',
    message: /lacks these rights in all namespaces: list secrets, patch secrets;/,
  })
})

void test('a page token that is too old, or not accepted at all, loses no object', async (t) => {
  const { kube, run } = await fixture(t, 1100)
  let times = 0
  kube.intercept = ({ path, query }) => {
    const token = query.get('continue')
    if (path !== '/api/v1/secrets' || token === null || token.startsWith('fresh-')) return undefined
    times += 1
    if (times === 1)
      return { status: 410, body: { message: 'too old', metadata: { continue: token } } }
    return times === 3 ? { status: 400, body: { message: 'continue token is invalid' } } : undefined
  }
  const { resources } = await run()
  t.notOk([...kube.objects.values()].some(({ stale }) => stale))
  t.match(resources, [{ done: true }])
})

void test('an interrupted rewrite resumes, but not with another key or in another cluster', async (t) => {
  const { kube, options, run, notes } = await fixture(t, 1100)
  const abort = new AbortController()
  let patches = 0
  kube.intercept = ({ method }) => {
    if (method === 'PATCH' && (patches += 1) === 700) abort.abort()
    return undefined
  }
  await t.rejects(run(abort.signal), { code: 'CANCELLED' })
  kube.intercept = () => undefined
  const before = kube.calls.length
  const { resources } = await run()
  t.match(notes.at(-1), 'resuming the rewrite of')
  t.match(resources, [{ counts: { rewritten: 500 + 400, current: 200 } }])
  t.equal(kube.calls.slice(before).filter(({ method }) => method === 'PATCH').length, 600)

  const file = options.state('cluster-uid')
  const state = {
    version: 1,
    procedure: 'rewrite',
    cluster: 'cluster-uid',
    key: 'old',
    startedAt: 'then',
    resources: [],
  } as const
  await file.write({ ...state, resources: [] })
  await run()
  t.match(notes.at(-1), 'was for another key; starting again')
  await file.write({ ...state, cluster: 'elsewhere', resources: [] })
  await t.rejects(run(), { code: 'STATE_INVALID', message: /belongs to another cluster/ })
})

void test('an object that was refused before an interruption is not forgotten', async (t) => {
  const { kube, run } = await fixture(t, 600)
  const abort = new AbortController()
  const refuse = (path: string) =>
    path.endsWith('s0001') ? { status: 422, body: { message: 'is invalid' } } : undefined
  kube.intercept = ({ method, path }) => {
    if (method !== 'PATCH') return undefined
    if (path.endsWith('s0550')) abort.abort()
    return refuse(path)
  }
  await t.rejects(run(abort.signal), { code: 'CANCELLED' })
  kube.intercept = ({ method, path }) => (method === 'PATCH' ? refuse(path) : undefined)
  const { refusals } = await run()
  t.match(refusals, [{ object: 'secrets default/s0001' }])
})

void test('a conflict without a change by another client is a refusal', async (t) => {
  const { kube, run } = await fixture(t, 2)
  kube.intercept = ({ method, path }) =>
    method === 'PATCH' && path.endsWith('s0001')
      ? { status: 409, body: { message: 'admission webhook denied the request' } }
      : undefined
  const { resources, refusals } = await run()
  t.match(resources, [{ counts: { rewritten: 1, refused: 1, writtenByOthers: 0 } }])
  t.match(refusals, [{ why: /returns 409 for PATCH .*: admission webhook denied the request/ }])
})

void test('what was rewritten before an API server loaded its EncryptionConfiguration again is rewritten again', async (t) => {
  const { kube, run, notes } = await fixture(t, 600)
  kube.reloadedAt = 1_000
  const abort = new AbortController()
  kube.intercept = ({ method, path }) => {
    if (method === 'PATCH' && path.endsWith('s0550')) abort.abort()
    return undefined
  }
  await t.rejects(run(abort.signal), { code: 'CANCELLED' })
  // Another EncryptionConfiguration was used in between, and the first one again since.
  kube.reloadedAt = 2_000
  for (const object of kube.objects.values()) object.stale = true
  kube.intercept = () => undefined
  await run()
  t.match(notes.at(-1), 'because an API server has loaded its EncryptionConfiguration since')
  t.notOk([...kube.objects.values()].some(({ stale }) => stale))
})

void test('an API server that loaded another EncryptionConfiguration meanwhile, and the first one again, is noticed', async (t) => {
  const { kube, run, options } = await fixture(t, 3)
  kube.reloadedAt = 1_000
  kube.intercept = ({ method }) => {
    if (method === 'PATCH') kube.reloadedAt = 2_000
    return undefined
  }
  await t.rejects(run(), {
    code: 'NOT_CONVERGED',
    message: /possibly with different keys: an API server has started or loaded its EncryptionConf/,
  })
  kube.reloadedAt = 1_000
  const verified = { ...options, isVerified: true }
  const { signal } = new AbortController()
  const result = await runRewrite(verified, await planRewrite(verified, signal), signal)
  t.match(result.resources, [{ done: true }], 'if etcd is read afterwards, it decides')
})

void test('a resource that is served only since the rewrite began is rewritten, too', async (t) => {
  const { kube, run, notes } = await fixture(t, 3, { patterns: ['*.*'] })
  const widgets = { name: 'widgets', namespaced: true, verbs: ['list', 'patch'] }
  const patched: string[] = []
  kube.intercept = ({ method, path }) => {
    if (method === 'PATCH') {
      patched.push(path)
      kube.groups = [{ name: 'example.com', versions: [{ version: 'v1' }] }]
    }
    if (path === '/apis/example.com/v1') return { status: 200, body: { resources: [widgets] } }
    const metadata = { name: 'w', namespace: 'default', uid: 'u', resourceVersion: '7' }
    if (path === '/apis/example.com/v1/widgets')
      return { status: 200, body: { metadata: {}, items: [{ metadata }] } }
    if (path === '/apis/example.com/v1/namespaces/default/widgets/w')
      return { status: 200, body: { metadata: { ...metadata, resourceVersion: '8' } } }
    return undefined
  }
  const { resources } = await run()
  t.match(resources.at(-1), { resource: 'widgets.example.com', counts: { rewritten: 1 } })
  t.match(notes, ['widgets.example.com is served since the rewrite began'])
  t.equal(patched.length, 4)
})

void test('a plan counts objects, lists what it skips, and writes nothing', async (t) => {
  const { kube, options } = await fixture(t, 7, {
    patterns: ['*.', 'bindings', 'pods.metrics.k8s.io', 'gone.example.com', '*.example.org'],
  })
  const plan = await planRewrite(options, new AbortController().signal)
  const text = formatPlan(plan)
  t.match(text, 'secrets: 7 objects')
  t.match(text, 'bindings: skipped; the API server does not support both list and patch for it')
  t.match(text, 'pods.metrics.k8s.io: skipped; an aggregated API server serves it')
  t.match(text, 'gone.example.com: skipped; the API server does not serve it')
  t.match(text, '*.example.org: skipped; the API server does not serve it')
  t.notOk(kube.calls.some(({ method }) => method === 'PATCH'))
})

void test('a key that changes meanwhile is reported at the end', async (t) => {
  const { kube, run } = await fixture(t, 3)
  kube.intercept = ({ method }) => {
    if (method === 'PATCH') kube.keyHash = `sha256:${'b'.repeat(64)}`
    return undefined
  }
  await t.rejects(run(), {
    code: 'NOT_CONVERGED',
    message: /possibly with different keys: the key changed; run this command again/,
  })
})

const MIGRATIONS = '/apis/storagemigration.k8s.io/v1/storageversionmigrations'

void test('kube-controller-manager rewrites if it starts the migration, and only then', async (t) => {
  const { kube, run, notes, options } = await fixture(t, 3)
  kube.groups = [{ name: 'storagemigration.k8s.io', versions: [{ version: 'v1' }] }]
  let asked: unknown
  let condition = 'Succeeded'
  kube.intercept = ({ method, path, body }) => {
    if (path.endsWith('leases/kube-controller-manager'))
      return { status: 200, body: { spec: { renewTime: new Date().toISOString() } } }
    if (path === MIGRATIONS && method === 'POST') asked = body
    if (path.startsWith(MIGRATIONS)) {
      const conditions = [{ type: condition, status: 'True', message: 'because' }]
      return { status: 200, body: { metadata: { name: 'm1' }, status: { conditions } } }
    }
    return undefined
  }
  const { resources } = await run()
  t.match(asked, { spec: { resource: { group: '', resource: 'secrets' } } })
  t.match(resources, [{ done: true, migrated: true }])
  t.match(notes.join(), 'StorageVersionMigration m1')
  t.ok(kube.calls.some(({ method, path }) => method === 'DELETE' && path === `${MIGRATIONS}/m1`))
  condition = 'Failed'
  await t.rejects(run(), {
    code: 'KUBE_FAILED',
    message: /m1 failed: because; use --method patch instead/,
  })
  kube.groups = []
  const forced = { ...options, method: 'migration' } as const
  await t.rejects(planRewrite(forced, new AbortController().signal), {
    message: /does not serve StorageVersionMigration/,
  })
})

void test('a migration that a controller started and does not end is reported, and not waited for without end', async (t) => {
  const { kube, run, notes, options } = await fixture(t, 3, { clock: skippingClock() })
  kube.groups = [{ name: 'storagemigration.k8s.io', versions: [{ version: 'v1' }] }]
  kube.intercept = ({ path }) => {
    if (path.endsWith('leases/kube-controller-manager'))
      return { status: 200, body: { spec: { renewTime: new Date().toISOString() } } }
    if (!path.startsWith(MIGRATIONS)) return undefined
    const conditions = [{ type: 'Running', status: 'True' }]
    return { status: 200, body: { metadata: { name: 'm1' }, status: { conditions } } }
  }
  const forced = { ...options, method: 'migration' } as const
  const { signal } = new AbortController()
  await t.rejects(runRewrite(forced, await planRewrite(forced, signal), signal), {
    code: 'KUBE_FAILED',
    message: /m1 does not end; see the log of kube-controller-manager/,
  })
  t.match(notes, [/m1\)$/, 'm1 has been running for 1 min', 'm1 has been running for 2 min'])
  const isMade = ({ method, path }: Call) => method === 'POST' && path === MIGRATIONS
  const made = () => kube.calls.filter(isMade).length
  const before = made()
  const { resources } = await run()
  t.match(notes.at(-1), 'm1 does not end; patching objects instead')
  t.match(resources, [{ done: true, counts: { rewritten: 3 } }])
  t.equal(made(), before, 'the second run waits for the same migration')
})
