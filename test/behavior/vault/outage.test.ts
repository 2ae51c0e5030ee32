import { test } from 'tap'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture
// Between the plugin and Vault: a network that fails, and a server that answers in Vault's place.
const http = await fixture.httpProxy()
const network = await fixture.tcpProxy(http.address)
/** Vault's return is noticed within this (milliseconds); what is over it is slack for a busy machine. */
const RETURN = 10_000 + 5_000

const plugin = await fixture.startHealthy({
  address: network.address,
  kms: { refreshInterval: '1s', outageGrace: '0s' },
  vault: { timeout: '500ms' },
})

type Outage = {
  name: string
  begin: () => Promise<void> | void
  end: () => Promise<void> | void
  told: RegExp
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
    told: /is unreachable/,
  },
  { name: 'is cut in mid-answer', begin: () => network.cut(40), end: pass, told: /cut off|closed/ },
  { name: 'is too slow', begin: () => network.slow(1_500), end: pass, told: /did not answer/ },
  {
    name: 'is sealed',
    begin: () => bao.seal(),
    end: () => bao.unseal(),
    told: /is sealed; until it is unsealed, it refuses/,
  },
  {
    name: 'was killed, and starts again',
    begin: () => bao.kill(),
    end: () => bao.restart(),
    told: /is unreachable/,
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
    told: /cannot currently .*internal error \(status 500\)/,
  },
  {
    name: 'is behind a broken proxy (502, HTML)',
    begin: answer(502, '<html><body>Bad Gateway</body></html>'),
    end: clear,
    told: /is not from Vault \(status 502, not JSON\)/,
  },
]

for (const outage of outages) {
  void test(`vault ${outage.name}`, async (t) => {
    const before = await plugin.client.status()
    const plaintext = newSeed()
    const wrapped = await plugin.client.encrypt(plaintext)
    t.equal(before.healthz, 'ok')
    await outage.begin()
    // The second one if the caller's deadline comes before ours.
    const codes = /^(UNAVAILABLE|DEADLINE_EXCEEDED)$/
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

void test('a fault that ends within the deadline fails no call', async (t) => {
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

void test('readyz and the metrics report the outage', async (t) => {
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
  await eventually('the gauges', async () => {
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

fixture.end()
