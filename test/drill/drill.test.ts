import { join } from 'node:path'
import { test } from 'tap'

import { DrillSwitch } from '../../src/admin/drill-switch.ts'
import { drillOutageCommand } from '../../src/commands/drill/outage.ts'
import { BridgeError } from '../../src/errors.ts'
import { DrilledPlugin } from '../../src/drill/drilled-plugin.ts'
import { formatRecord, makeRecord, type OutageSample } from '../../src/drill/outage-record.ts'
import { runOutageDrill, type OutageDrillOptions } from '../../src/drill/outage-drill.ts'
import { explainNoAnswer } from '../../src/kube/fault.ts'
import type { KubeAnswer, KubeClient, KubeRequest } from '../../src/kube/client.ts'
import { StateFile, stateFolder } from '../../src/files/state-file.ts'
import { RotationState } from '../../src/rotate/state.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { serve } from '../admin/serve.ts'
import { execute } from '../commands/execute.ts'
import { memoryTerminal } from '../commands/memory-terminal.ts'
import { HandClock } from '../fakes/clock.ts'

const TOKEN = 'sixteen-characters-or-more'
const WORKS: OutageSample = { at: 4, ready: true, write: true, read: true, plugin: 'connected' }

void test('the switch works only from this host, with the token and within the limit, and ends automatically', async (t) => {
  const folder = t.testdir({ token: `${TOKEN}\n`, short: 'short' })
  const clock = new HandClock()
  const make = (file: string) =>
    new DrillSwitch({
      config: { tokenFile: join(folder, file), maxDurationMs: 60_000 },
      clock,
      log: createLogger('silent'),
    })
  const drill = make('token')
  const call = { authorization: `Bearer ${TOKEN}`, remoteAddress: '::ffff:127.0.0.1' }
  const vault = drill.wrap({ request: () => Promise.resolve({ status: 200, body: 'vault' }) })
  const ask = () =>
    vault.request({ operation: 'encrypt', method: 'POST', path: 'x' }, { deadline: 1 })
  t.match(await ask(), { body: 'vault' })
  t.match(await drill.begin({ ...call, remoteAddress: '10.0.0.1' }, 5), { status: 403 })
  t.match(await drill.begin({ ...call, remoteAddress: undefined }, 5), { status: 403 })
  t.match(await drill.begin({ ...call, authorization: 'Bearer other' }, 5), { status: 401 })
  t.match(await drill.begin({ ...call, authorization: undefined }, 5), { status: 401 })
  t.match(await make('short').begin({ ...call, authorization: 'Bearer short' }, 5), { status: 403 })
  t.match(await make('missing').begin({ ...call, authorization: 'Bearer ' }, 5), { status: 403 })
  for (const seconds of [0, 61, 1.5, Number.NaN])
    t.match(await drill.begin(call, seconds), { status: 400 })
  t.match(await ask(), { body: 'vault' }, 'nothing of that began one')
  t.match(await drill.begin(call, 5), { status: 200 })
  await t.rejects(ask(), {
    code: 'VAULT_UNREACHABLE',
    message: /a drill disconnects this plugin from Vault/,
  })
  await clock.advance(5_000)
  t.match(await ask(), { body: 'vault' })
  await drill.begin(call, 60)
  t.match(await drill.end({ ...call, authorization: 'no' }), { status: 401 })
  t.match(await drill.end(call), { status: 200 })
  t.match(await ask(), { body: 'vault' })
})

interface DrillStub extends Partial<OutageDrillOptions> {
  /** What the API server returns. */
  readonly answer?: (request: KubeRequest) => Promise<KubeAnswer>
}

/** A drill of 5 s in which everything works, but Vault during the outage. */
function startDrill({ answer, ...options }: DrillStub = {}) {
  let isOut = false
  const clock = new HandClock()
  const abort = new AbortController()
  const sent: string[] = []
  const calls: string[] = []
  const notes: string[] = []
  const send = (request: KubeRequest): Promise<KubeAnswer> => {
    sent.push(`${request.method} ${request.path}`)
    return answer?.(request) ?? Promise.resolve({ status: 200, body: {} })
  }
  const called = (what: string) => () => {
    calls.push(what)
    isOut = what === 'begin'
    return Promise.resolve()
  }
  const running = runOutageDrill(
    {
      client: { send, server: 'https://api' } as unknown as KubeClient,
      namespace: 'default',
      seconds: 5,
      patienceMs: 1_000,
      begin: called('begin'),
      end: called('end'),
      pluginState: () =>
        Promise.resolve(!isOut || clock.monotonic() > 5_000 ? 'connected' : 'disconnected'),
      clock,
      onSample: () => undefined,
      onNote: (note) => notes.push(note),
      onStop: () => void calls.push('stop'),
      ...options,
    },
    abort.signal,
  )
  return { running, clock, abort, sent, calls, notes }
}

const noAnswer = () => Promise.reject(new BridgeError('PLUGIN_UNREACHABLE', 'no answer in time'))

void test('a drill does not start unless everything works', async (t) => {
  const drill = startDrill({ pluginState: () => Promise.resolve('disconnected') })
  const rejected = t.rejects(drill.running, {
    code: 'NOT_CONVERGED',
    message:
      /^the drill was not started, because not everything works now: the plugin does not reach Vault; /,
  })
  await drill.clock.advance(60_000)
  await rejected
  t.same(drill.calls, [], 'nothing is disconnected')
  t.match(drill.sent.at(-1), /^DELETE .*\/secrets\/transit-bridge-drill$/, 'its Secret is removed')
})

void test('an outage whose start got no answer is ended, and one that the plugin refused is not', async (t) => {
  const begun = startDrill({ begin: noAnswer })
  await t.rejects(begun.running, { code: 'PLUGIN_UNREACHABLE' })
  t.same([begun.calls, begun.notes], [['end'], []])
  t.match(begun.sent.at(-1), /^DELETE /)
  const stuck = startDrill({ begin: noAnswer, end: noAnswer })
  await t.rejects(stuck.running, { code: 'PLUGIN_UNREACHABLE' })
  t.same(stuck.notes, [
    'the end of the outage is not confirmed: no answer in time; the plugin may stay disconnected from Vault for up to 5 s',
  ])
  const refused = startDrill({
    begin: () => Promise.reject(new BridgeError('USAGE_INVALID', 'no drills here')),
  })
  await t.rejects(refused.running, { code: 'USAGE_INVALID' })
  t.same([refused.calls, refused.notes], [[], []])
})

void test('a drill whose cleanup fails keeps its samples, and says what is left', async (t) => {
  const deleted = (answer: () => Promise<KubeAnswer>): DrillStub => ({
    answer: ({ method }) =>
      method === 'DELETE' ? answer() : Promise.resolve({ status: 200, body: {} }),
  })
  const finish = async (stub: DrillStub) => {
    const drill = startDrill(stub)
    await drill.clock.advance(60_000)
    t.ok((await drill.running).length > 5)
    return drill.notes
  }
  for (const status of [403, 500])
    t.match(await finish(deleted(() => Promise.resolve({ status, body: {} }))), [
      /^the Secret default\/transit-bridge-drill was not removed: the API server /,
    ])
  t.match(await finish({ ...deleted(noAnswer), end: noAnswer }), [
    /^the end of the outage is not confirmed: no answer in time; its time is over/,
    /^the Secret default\/transit-bridge-drill was not removed: no answer in time$/,
  ])
  t.same(await finish(deleted(() => Promise.resolve({ status: 404, body: {} }))), [])
})

void test('an interrupt ends the outage at once, although a probe hangs', async (t) => {
  let isHanging = false
  const drill = startDrill({
    answer: ({ method, signal }) => {
      if (method !== 'PATCH' || !isHanging) return Promise.resolve({ status: 200, body: {} })
      // As the client of the API server does: only the signal ends the wait.
      const { promise, reject } = Promise.withResolvers<KubeAnswer>()
      signal?.addEventListener('abort', () => reject(new BridgeError('CANCELLED', 'stopped')))
      return promise
    },
  })
  const rejected = t.rejects(drill.running, {
    code: 'CANCELLED',
    message: 'stopped before the end; the outage is over',
  })
  await drill.clock.advance(2_000)
  isHanging = true
  await drill.clock.advance(1_000)
  drill.abort.abort()
  await rejected
  t.same(drill.calls, ['begin', 'stop', 'end'])
  t.match(drill.sent.at(-1), /^DELETE /)
})

void test('an interrupt during a wait sends no more probes, and one before the outage starts none', async (t) => {
  const waiting = startDrill()
  await waiting.clock.advance(2_500)
  const probes = waiting.sent.length
  waiting.abort.abort()
  await t.rejects(waiting.running, { code: 'CANCELLED' })
  t.match(waiting.sent.slice(probes), [/^DELETE /])
  t.equal(waiting.sent.length, probes + 1)
  const early = startDrill({ pluginState: () => Promise.resolve('disconnected') })
  await early.clock.advance(1_500)
  early.abort.abort()
  await t.rejects(early.running, { code: 'CANCELLED', message: 'stopped before the outage began' })
  t.same(early.calls, [])
})

void test('a drill that the plugin did not notice rehearsed nothing', async (t) => {
  const drill = startDrill({ pluginState: () => Promise.resolve('connected') })
  await drill.clock.advance(60_000)
  const samples = await drill.running
  t.match(drill.notes, [
    /^the plugin did not notice the outage, so nothing was rehearsed; use a longer --for/,
  ])
  const facts = { server: 's', plugin: 'p', startedAt: 'then', seconds: 5 }
  const record = makeRecord({ ...facts, samples, notes: drill.notes })
  t.match(record, { ok: false, recovered: false, probes: { plugin: { failed: 0 } } })
  t.match(formatRecord(record), '- recovered: not proved\n- NOT ok: the plugin did not notice')
})

void test('a plugin that is silent during a drill is not one that noticed the outage', async (t) => {
  const drill = startDrill({
    pluginState: () => {
      const isSilent = drill.calls.at(-1) === 'begin' && drill.clock.monotonic() < 5_000
      return Promise.resolve(isSilent ? 'unknown' : 'connected')
    },
  })
  await drill.clock.advance(60_000)
  const samples = await drill.running
  t.match(drill.notes, [
    /^the plugin did not report the outage, and some of its reports are missing, so perhaps nothing was rehearsed/,
  ])
  const facts = { server: 's', plugin: 'p', startedAt: 'then', seconds: 5 }
  const record = makeRecord({ ...facts, samples, notes: drill.notes })
  t.match(record, { ok: false, noticed: false, recovered: false })
  t.ok(record.probes.plugin.failed > 0)
  t.match(formatRecord(record), '- recovered: not proved\n')
})

void test('an empty --drill-token file is wrong usage, before the API server is asked', async (t) => {
  const drillToken = join(t.testdir({ token: ' \n' }), 'token')
  const typed = { plugin: 'http://127.0.0.1:1', 'drill-token': drillToken } as const
  const danger = { 'i-know-this-can-stop-the-api-server': true } as const
  const running = execute(drillOutageCommand, { ...typed, ...danger }, memoryTerminal())
  await t.rejects(running, {
    code: 'USAGE_INVALID',
    message: `--drill-token ${drillToken} is empty`,
  })
})

void test('every write of a drill changes its Secret, also one that an earlier drill left', async (t) => {
  const bodies: string[] = []
  for (const posted of [201, 409]) {
    const drill = startDrill({
      answer: ({ method, body }) => {
        if (method === 'PATCH') bodies.push(JSON.stringify(body))
        return Promise.resolve({ status: method === 'POST' ? posted : 200, body: {} })
      },
    })
    await drill.clock.advance(60_000)
    await drill.running
  }
  t.ok(bodies.length > 12)
  t.equal(new Set(bodies).size, bodies.length, 'an API server encrypts only what changes')
})

void test('a Secret whose creation got no answer is removed, and one whose creation was refused is not', async (t) => {
  const lost = new BridgeError('KUBE_UNREACHABLE', 'closed the connection before it responded')
  const create = (answer: () => Promise<KubeAnswer>) =>
    startDrill({
      answer: ({ method }) =>
        method === 'POST' ? answer() : Promise.resolve({ status: 200, body: {} }),
    })
  const silent = create(() => Promise.reject(lost))
  await t.rejects(silent.running, lost)
  const gateway = create(() => Promise.resolve({ status: 504, body: 'gateway timeout' }))
  await t.rejects(gateway.running, { code: 'KUBE_BUSY' })
  for (const { sent, calls } of [silent, gateway]) {
    t.match(sent.at(-1), /^DELETE .*\/secrets\/transit-bridge-drill$/)
    t.same(calls, [], 'nothing is disconnected')
  }
  const cause = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  const dead = explainNoAnswer('https://api', cause)
  const unsent = create(() => Promise.reject(dead))
  await t.rejects(unsent.running, dead)
  t.match([unsent.sent.length, unsent.notes], [1, []], 'it was not sent, so no Secret exists')
  const denied = create(() => Promise.resolve({ status: 403, body: {} }))
  await t.rejects(denied.running, { code: 'KUBE_DENIED' })
  t.match(denied.sent, [/^POST /])
  t.equal(denied.sent.length, 1)
  t.same(denied.notes, [])
})

void test('only what the switch of a plugin answers is a refusal: after any other answer it may have acted', async (t) => {
  let status = 0
  const address = await serve(t, (_, response) => response.writeHead(status).end('words\n'))
  const plugin = new DrilledPlugin(address, TOKEN)
  for (status of [400, 401, 403])
    await t.rejects(plugin.disconnect(5), { code: 'USAGE_INVALID', message: /: words$/ })
  status = 404
  await t.rejects(plugin.disconnect(5), {
    code: 'USAGE_INVALID',
    message: /does not allow drills; set admin\.drill/,
  })
  for (status of [202, 408, 500, 502, 503])
    await t.rejects(plugin.disconnect(5), {
      code: 'PLUGIN_UNREACHABLE',
      message: `the plugin at ${address} answers the drill with ${String(status)}: words`,
    })
  status = 200
  await plugin.disconnect(5)
  await plugin.reconnect()
})

void test('a plugin is disconnected only if it says so', async (t) => {
  let text = ''
  const address = await serve(t, (_, response) => response.end(text))
  const state = async (ready: boolean, reason: string) => {
    text = JSON.stringify({ ready, reason, message: '', details: {} })
    return new DrilledPlugin(address, TOKEN).state(new AbortController().signal)
  }
  t.equal(await state(true, 'ok'), 'connected')
  t.equal(await state(true, 'VAULT_UNREACHABLE'), 'disconnected', 'within the grace')
  t.equal(await state(false, 'VAULT_UNREACHABLE'), 'disconnected')
  t.equal(await state(false, 'starting'), 'unknown')
  t.equal(await state(false, 'HOST_UNAVAILABLE'), 'unknown')
  text = 'something else'
  t.equal(await new DrilledPlugin(address, TOKEN).state(new AbortController().signal), 'unknown')
})

void test('a drill with notes is not ok, although everything works again', (t) => {
  const samples = [{ ...WORKS, at: 1, plugin: 'disconnected' } as const, WORKS]
  const facts = { server: 's', plugin: 'p', startedAt: 'then', seconds: 3, samples }
  t.match(makeRecord({ ...facts, notes: [] }), { ok: true, recovered: true })
  const record = makeRecord({ ...facts, notes: ['the Secret was not removed'] })
  t.match(record, { ok: false, recovered: true })
  t.match(formatRecord(record), '- recovered: yes\n- NOT ok: the Secret was not removed\n')
  t.end()
})

void test('samples are summarized', (t) => {
  const sample = (at: number, ready: boolean, write = true): OutageSample => ({
    at,
    ready,
    write,
    read: true,
    plugin: ready ? 'connected' : 'disconnected',
  })
  const facts = { server: 's', plugin: 'p', startedAt: 'then', seconds: 3, notes: [] }
  const record = makeRecord({
    ...facts,
    samples: [
      sample(0, true),
      sample(1, false),
      sample(2, false),
      sample(4, false),
      sample(5.04, true),
    ],
  })
  t.match(record, {
    recovered: true,
    probes: {
      ready: { tried: 5, failed: 3, firstFailure: 1, recoveredAfter: 2 },
      write: { failed: 0 },
    },
  })
  t.match(formatRecord(record), '| readiness (/readyz/kms-providers) | 3 of 5 | 1 s | 2 s |')
  const lost = makeRecord({ ...facts, samples: [sample(0, true, false)] })
  t.notOk(lost.recovered)
  t.match(formatRecord(lost), /writes of a Secret \| 1 of 1 \| 0 s \| not yet/)
  t.end()
})

void test('an API server that works with the seeds in its memory does not prove that the plugin reaches Vault', (t) => {
  const sample = { ...WORKS, plugin: 'disconnected' } as const
  const facts = { server: 's', plugin: 'p', startedAt: 'then', seconds: 3, notes: [] }
  const record = makeRecord({ ...facts, samples: [sample] })
  t.notOk(record.recovered)
  t.match(
    formatRecord(record),
    /recovered: no\n[^]*the plugin reaches Vault \(\/readyz\) \| 1 of 1/,
  )
  t.end()
})

void test('a state file is rejected if it is something else', async (t) => {
  const folder = t.testdir({ wrong: '{"version": 2}', torn: '{"ver' })
  const open = (name: string) => new StateFile(join(folder, name), RotationState)
  await t.rejects(open('wrong').read(), {
    code: 'STATE_INVALID',
    message: /does not contain the state of this command/,
  })
  await t.rejects(open('torn').read(), { code: 'STATE_INVALID' })
  t.equal(await open('none').read(), undefined)
  t.equal(stateFolder({ XDG_STATE_HOME: '/s' }), '/s/transit-bridge')
  t.equal(stateFolder({ HOME: '/h' }), '/h/.local/state/transit-bridge')
  t.throws(() => stateFolder({}), { code: 'USAGE_INVALID' })
  await t.rejects(
    new StateFile(join(folder, 'wrong', 'x'), RotationState).write({
      version: 1,
      procedure: 'rotate',
      cluster: 'c',
      key: 'k',
      startedAt: 't',
      step: 'check',
      from: 1,
    }),
    {
      code: 'STATE_INVALID',
      message: /cannot be written/,
    },
  )
})
