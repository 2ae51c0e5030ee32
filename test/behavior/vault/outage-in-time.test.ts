import { test } from 'tap'
import type { Plugin } from '../../real/program/plugin.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { enableJwtLogin } from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture
const network = await fixture.tcpProxy()
/** Vault's return is noticed within this (milliseconds); what is over it is slack for a busy machine. */
const RETURN = 10_000 + 20_000
const FAST = { refreshInterval: '1s' }

void test('Vault hangs: Encrypt fails at its deadline, and Status answers meanwhile', async (t) => {
  const patient = await fixture.startHealthy({
    address: network.address,
    kms: { ...FAST, outageGrace: '2m', clusterId: 'deadline' },
    vault: { timeout: '8s' },
  })
  await network.hang()
  const state = { settled: false }
  const encrypt = outcomeOf(patient.client.encrypt(newSeed(), { timeout: 1_500, uid: 'deadline' }))
  void encrypt.then(() => (state.settled = true))
  const health = new Set<string>()
  while (!state.settled) {
    const { healthz } = await patient.client.status()
    if (!state.settled) health.add(healthz)
  }
  t.match(await encrypt, { code: /^(DEADLINE_EXCEEDED|UNAVAILABLE)$/ })
  t.strictSame([...health], ['ok'], 'Status answers while Encrypt waits')
  // The caller's clock also ends the call, so only the log shows that the plugin stopped waiting long before vault.timeout.
  const line = () =>
    patient.logLines().find(({ uid, method }) => uid === 'deadline' && method !== undefined)
  await eventually('the log line', () => line() !== undefined)
  t.match(line(), { method: 'Encrypt', code: /^(DEADLINE_EXCEEDED|UNAVAILABLE|CANCELLED)$/ })
  t.ok(Number(line()?.['duration_ms']) < 8_000)
  await network.pass()
  await patient.waitForHealth('ok')
  await patient.stop()
})

void test('after many callers waited for a hanging Vault, its return is noticed in time', async (t) => {
  const busy = await startBehindNetwork({ outageGrace: '0s', clusterId: 'busy' })
  const encrypt = () => busy.client.encrypt(newSeed(), { timeout: 20_000 })
  await Promise.all(Array.from({ length: 100 }, encrypt))
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

void test('a Decrypt that waits behind others during an outage fails with its reason', async (t) => {
  const queued = await startBehindNetwork({ outageGrace: '2m', clusterId: 'queued' })
  const wrapped = await queued.client.encrypt(newSeed())
  await network.refuse()
  // Two batches of 64 are in flight at most. They are tried again for five seconds.
  const ahead = Array.from({ length: 140 }, () =>
    outcomeOf(queued.client.decrypt(wrapped, { timeout: 20_000 })),
  )
  await queued.client.status()
  const behind = await outcomeOf(queued.client.decrypt(wrapped, { timeout: 4_000 }))
  t.match(behind, { code: 'UNAVAILABLE', message: /connection refused/ })
  await network.pass()
  await Promise.all(ahead)
  await queued.waitForHealth('ok')
  await queued.stop()
})

void test('after an outage in which the token ended, the return of Vault is noticed in time', async (t) => {
  await enableJwtLogin(bao, { ...fixture.vault.jwtLogin(), role: 'short', ttl: '2s' })
  const kms = { ...FAST, outageGrace: '0s', clusterId: 'short' }
  const short = await fixture.startHealthy({
    address: network.address,
    kms,
    auth: { role: 'short' },
  })
  await network.refuse()
  // Until it waits as long between two logins as it ever does: 5 s.
  await eventually('some failed logins', async () => {
    const { text } = await short.admin('/metrics')
    const failed = { outcome: 'VAULT_UNREACHABLE' }
    return (findSamples(text, 'transit_bridge_vault_logins_total', failed)[0]?.value ?? 0) >= 5
  })
  t.match(await outcomeOf(short.client.encrypt(newSeed())), { code: 'UNAVAILABLE' })
  await network.pass()
  await short.waitForHealth('ok', { timeoutMs: RETURN })
  t.match(await outcomeOf(short.client.encrypt(newSeed())), { code: 'OK' })
  await short.stop()
})

void test('an outage leaves Status "ok" for outageGrace, then reports the reason, with the last key id', async (t) => {
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
  await eventually('the end of the grace', async () => {
    const status = await graced.client.status()
    t.equal(status.keyId, keyId)
    if (health.at(-1) !== status.healthz) health.push(status.healthz)
    await outcomeOf(graced.client.encrypt(newSeed(), { timeout: 500 }))
    return status.healthz !== 'ok'
  })
  t.match(health, ['ok', /Vault at .* is unreachable: connection refused/])
  const grace = performance.now() - refusedAt
  t.ok(grace > 2_500, `Status was "ok" for ${grace.toFixed(0)} ms`)
  // Until the log says so, which is at the next check, and some more calls, so that repeated lines would show.
  await eventually('the line in the log', async () => {
    await outcomeOf(graced.client.encrypt(newSeed(), { timeout: 500 }))
    return told('error').length > 0
  })
  await network.pass()
  await graced.waitForHealth('ok', { timeoutMs: RETURN })
  await eventually('the line of its return', () => told('info').length > 0)
  t.match(told('warn'), [
    /^Vault does not answer; Status stays ok until .* UTC \(kms\.outageGrace\): .*connection refused/,
  ])
  t.match(told('error'), [/^unhealthy: .*connection refused/])
  t.match(told('info'), ['healthy'])
  await graced.stop()
})

fixture.end()

async function startBehindNetwork(kms: Record<string, unknown>): Promise<Plugin> {
  return fixture.startHealthy({ address: network.address, kms: { ...FAST, ...kms } })
}
