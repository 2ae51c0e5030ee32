import { test } from 'tap'
import type { Plugin } from '../real/plugin.ts'
import { newSeed, outcomeOf, Scene, until } from './scene.ts'

const scene = await Scene.open()
const { bao } = scene
// The plugin sees a network that fails, behind it something that answers in Vault's place, behind that Vault.
const http = await scene.httpProxy()
const network = await scene.tcpProxy(http.address)
/** Vault's return is noticed within this (milliseconds); what is over it is slack for a busy machine. */
const RETURN = 10_000 + 5_000

const FAST = { refreshInterval: '1s' }
const plugin = await scene.startHealthy({
  address: network.address,
  kms: { ...FAST, outageGrace: '0s', clusterId: 'no-grace' },
  vault: { timeout: '500ms' },
})

type Outage = {
  name: string
  begin: () => Promise<void> | void
  end: () => Promise<void> | void
  told: RegExp
  /** Default: UNAVAILABLE, or DEADLINE_EXCEEDED when the caller's time is up first. */
  codes?: RegExp
}

const answer =
  (status: number, body: unknown, headers: Record<string, string> = {}) =>
  () =>
    http.respond({ status, body, headers })
const errors = (...words: string[]) => ({ errors: words })
const clear = () => http.clear()
const pass = () => network.pass()

const outages: Outage[] = [
  { name: 'hangs', begin: () => network.hang(), end: pass, told: /did not answer/ },
  { name: 'refuses connections', begin: () => network.refuse(), end: pass, told: /refused/ },
  {
    name: 'resets connections',
    begin: () => network.reset(),
    end: pass,
    told: /cannot be reached/,
  },
  { name: 'is cut in mid-answer', begin: () => network.cut(40), end: pass, told: /cut off|closed/ },
  { name: 'is too slow', begin: () => network.slow(1_500), end: pass, told: /did not answer/ },
  {
    name: 'is sealed',
    begin: () => bao.seal(),
    end: () => bao.unseal(),
    told: /is sealed and must be unsealed/,
  },
  {
    name: 'was killed, and starts again',
    begin: () => bao.kill(),
    end: () => bao.restart(),
    told: /cannot be reached/,
  },
  {
    name: 'limits the rate (429)',
    begin: answer(429, errors('request path "transit/": rate limit quota exceeded')),
    end: clear,
    told: /limits the rate of read key: request path .* rate limit quota exceeded/,
  },
  {
    name: 'limits the rate (429 with Retry-After)',
    begin: answer(429, errors('quota exceeded'), { 'retry-after': '1' }),
    end: clear,
    told: /limits the rate/,
  },
  {
    name: 'limits the rate for an hour (429 with Retry-After: 3600)',
    begin: answer(429, errors('quota exceeded'), { 'retry-after': '3600' }),
    end: clear,
    told: /limits the rate/,
  },
  {
    name: 'fails inside (500)',
    begin: answer(500, errors('internal error')),
    end: clear,
    told: /cannot now .*internal error \(status 500\)/,
  },
  {
    name: 'is behind a broken proxy (502, HTML)',
    begin: answer(502, '<html><body>Bad Gateway</body></html>'),
    end: clear,
    told: /no answer of vault but of what stands before it \(status 502\)/,
  },
]

for (const outage of outages) {
  void test(`vault ${outage.name}`, async (t) => {
    const before = await plugin.client.status()
    const plaintext = newSeed()
    const wrapped = await plugin.client.encrypt(plaintext)
    t.equal(before.healthz, 'ok')
    await outage.begin()
    const codes = outage.codes ?? /^(UNAVAILABLE|DEADLINE_EXCEEDED)$/
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: codes }, 'encrypt')
    t.match(await outcomeOf(plugin.client.decrypt(wrapped)), { code: codes }, 'decrypt')
    await plugin.waitForHealth(outage.told)
    t.equal((await plugin.client.status()).keyId, before.keyId, 'the last key id')
    t.match(await plugin.admin('/readyz'), { status: 503, text: outage.told })
    t.match(await plugin.admin('/livez'), { status: 200 })
    await outage.end()
    await plugin.waitForHealth('ok', { timeoutMs: RETURN })
    t.same(await plugin.client.decrypt(wrapped), plaintext, 'old data is read')
    t.match(await plugin.admin('/readyz'), { status: 200, text: 'ok' })
    t.ok(plugin.program.running)
  })
}

void test('a fault that passes within the deadline costs no call', async (t) => {
  const once = { times: 1, match: (_: string, path: string) => path.includes('/encrypt/') }
  const encrypt = (timeout: number) => outcomeOf(plugin.client.encrypt(newSeed(), { timeout }))
  http.respond({ status: 500, body: errors('internal error') }, once)
  t.match(await encrypt(3_000), { code: 'OK' }, 'a 500')
  http.respond({ status: 429, body: errors('quota exceeded') }, once)
  t.match(await encrypt(3_000), { code: 'OK' }, 'a 429 that does not say for how long')
  const limited = { status: 429, body: errors('quota exceeded'), headers: { 'retry-after': '1' } }
  http.respond(limited, once)
  const began = performance.now()
  t.match(await encrypt(5_000), { code: 'OK' }, 'a 429 for a second')
  t.ok(performance.now() - began > 900, 'which was waited for')
  http.respond(limited, once)
  t.match(
    await encrypt(700),
    { code: 'UNAVAILABLE', message: /limits the rate/ },
    'no time to wait',
  )
  http.clear()
  await plugin.waitForHealth('ok')
})

void test('vault hangs: Encrypt fails at the deadline of its caller, and Status answers meanwhile', async (t) => {
  const patient = await startBehindNetwork({ outageGrace: '2m', clusterId: 'deadline' })
  await network.hang()
  const began = performance.now()
  const state = { settled: false }
  const encrypt = outcomeOf(patient.client.encrypt(newSeed(), { timeout: 700, uid: 'deadline' }))
  void encrypt.then(() => (state.settled = true))
  let answered = 0
  while (!state.settled) {
    t.equal((await patient.client.status()).healthz, 'ok')
    answered += 1
  }
  const elapsed = performance.now() - began
  t.match(await encrypt, { code: /^(DEADLINE_EXCEEDED|UNAVAILABLE)$/ })
  t.ok(elapsed > 600 && elapsed < 3_000, `failed after ${elapsed.toFixed(0)} ms`)
  t.ok(answered > 20, `${String(answered)} Status answers meanwhile`)
  // A caller's clock ends its call too: that the plugin gave up by itself stands in its log.
  const line = () =>
    patient.logLines().find(({ uid, method }) => uid === 'deadline' && method !== undefined)
  await until('the log line', () => line() !== undefined)
  t.match(line(), { method: 'Encrypt', code: /^(DEADLINE_EXCEEDED|UNAVAILABLE|CANCELLED)$/ })
  t.ok(Number(line()?.['duration_ms']) < 3_000)
  await network.pass()
  await patient.waitForHealth('ok')
  await patient.stop()
})

void test('after many callers waited for a hanging vault, its return is noticed in time', async (t) => {
  const busy = await startBehindNetwork({ outageGrace: '0s', clusterId: 'busy' })
  await Promise.all(Array.from({ length: 100 }, () => busy.client.encrypt(newSeed())))
  await network.hang()
  const codes = await Promise.all(
    Array.from({ length: 100 }, async () => (await outcomeOf(busy.client.encrypt(newSeed()))).code),
  )
  t.ok(codes.every((code) => code === 'DEADLINE_EXCEEDED' || code === 'UNAVAILABLE'))
  await busy.waitForHealth(/did not answer/)
  await network.pass()
  await busy.waitForHealth('ok', { timeoutMs: RETURN })
  await busy.stop()
})

void test('an outage leaves Status "ok" for outageGrace, then it says why, with the last key id', async (t) => {
  const graced = await startBehindNetwork({ outageGrace: '3s', clusterId: 'graced' })
  const { keyId } = await graced.client.status()
  const from = graced.logLines().length
  const told = (level: string) =>
    graced
      .logLines()
      .slice(from)
      .filter((line) => line['level'] === level)
      .map(({ msg }) => String(msg))
  const refusedAt = performance.now()
  await network.refuse()
  const health: string[] = []
  await until('the end of the grace', async () => {
    const status = await graced.client.status()
    t.equal(status.keyId, keyId)
    if (health.at(-1) !== status.healthz) health.push(status.healthz)
    await outcomeOf(graced.client.encrypt(newSeed(), { timeout: 500 }))
    return status.healthz !== 'ok'
  })
  t.match(health, ['ok', /vault at .* cannot be reached: connection refused/])
  const grace = performance.now() - refusedAt
  t.ok(grace > 2_500, `Status was "ok" for ${grace.toFixed(0)} ms`)
  // Until the log says so, which is at the next check, and some more calls, so that repeated lines would show.
  await until('the line in the log', async () => {
    await outcomeOf(graced.client.encrypt(newSeed(), { timeout: 500 }))
    return told('error').length > 0
  })
  await network.pass()
  await graced.waitForHealth('ok', { timeoutMs: RETURN })
  await until('the line of its return', () => told('info').length > 0)
  t.match(told('warn'), [/^vault does not answer; status stays ok for now: .*connection refused/])
  t.match(told('error'), [/^unhealthy: .*connection refused/])
  t.match(told('info'), ['healthy'])
  await graced.stop()
})

void test('readyz follows in JSON, and the metrics tell of the outage', async (t) => {
  await network.refuse()
  await plugin.waitForHealth(/refused/)
  const { status, text } = await plugin.admin('/readyz', 'application/json')
  t.equal(status, 503)
  t.match(JSON.parse(text), {
    ready: false,
    reason: 'VAULT_UNREACHABLE',
    message: /connection refused/,
    details: { keyId: /^tb1-/, keyVersion: 1, failingSeconds: Number },
  })
  await until('the gauges', async () => {
    const metrics = await plugin.admin('/metrics')
    return (
      /transit_bridge_vault_up 0/.test(metrics.text) &&
      /kms_healthy\{reason="VAULT_UNREACHABLE"\} 0/.test(metrics.text)
    )
  })
  await network.pass()
  await plugin.waitForHealth('ok', { timeoutMs: RETURN })
  t.match(JSON.parse((await plugin.admin('/readyz?format=json')).text), { ready: true })
})

scene.end()

async function startBehindNetwork(kms: Record<string, unknown>): Promise<Plugin> {
  return scene.startHealthy({ address: network.address, kms: { ...FAST, ...kms } })
}
