import { existsSync } from 'node:fs'
import { test } from 'tap'
import { KmsClient } from '../real/kms-client.ts'
import type { Plugin } from '../real/plugin.ts'
import { enableJwtLogin } from '../real/transit-setup.ts'
import { newSeed, outcomeOf, Scene, until } from './scene.ts'

const scene = await Scene.open()
const { bao, world } = scene
/** Longer than any test: nothing but what a test asks for goes to Vault. */
const KMS = { refreshInterval: '5m' }

/** The accessors of the tokens that plugins hold now. */
async function heldTokens(): Promise<string[]> {
  const { data } = await bao.api('LIST', 'auth/token/accessors')
  const held: string[] = []
  for (const accessor of data.keys as string[]) {
    const { body } = await bao.request('POST', 'auth/token/lookup-accessor', { accessor })
    if (String(body?.data?.display_name).startsWith('jwt-')) held.push(accessor)
  }
  return held
}

async function endOf(plugin: Plugin): Promise<{ code: number | null; ms: number }> {
  const began = performance.now()
  const { code } = await plugin.program.ended()
  return { code, ms: performance.now() - began }
}

void test('SIGTERM: its own token is revoked, its socket is gone, it exits with 0', async (t) => {
  const plugin = await scene.startHealthy({ kms: KMS })
  const [accessor] = await heldTokens()
  t.ok(accessor)
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  const answer = await bao.request('POST', 'auth/token/lookup-accessor', { accessor })
  t.ok(answer.status >= 400, `the token is gone (${String(answer.status)})`)
  t.notOk(existsSync(plugin.socket))
  t.match(plugin.logLines().at(-1), { level: 'info', msg: 'stopped' })
})

void test('SIGTERM: calls in flight are finished, new ones are refused', async (t) => {
  const network = await scene.tcpProxy()
  const plugin = await scene.startHealthy({ address: network.address, kms: KMS })
  const kept = newSeed()
  const wrapped = await plugin.client.encrypt(kept)
  await network.slow(800)
  const inFlight = [plugin.client.encrypt(newSeed()), plugin.client.decrypt(wrapped)]
  await until('the calls to be in flight', async () =>
    /kms_calls_in_flight 2/.test((await plugin.admin('/metrics')).text),
  )
  plugin.program.signal('SIGTERM')
  await plugin.program.waitForLine(/"stopping"/)
  await until('the socket to go', () => !existsSync(plugin.socket))
  t.match(await outcomeOf(plugin.client.encrypt(newSeed(), { timeout: 300 })), {
    code: /^(UNAVAILABLE|DEADLINE_EXCEEDED)$/,
  })
  const [encrypted, decrypted] = await Promise.all(inFlight)
  t.match(encrypted, { keyId: wrapped.keyId })
  t.same(decrypted, kept)
  t.match(await endOf(plugin), { code: 0 })
})

void test('SIGTERM: a batch token, which cannot be revoked, is not', async (t) => {
  await enableJwtLogin(bao, {
    ...world.jwtLogin(),
    role: 'batch',
    tokenType: 'batch',
  })
  const plugin = await scene.startHealthy({ kms: KMS, auth: { role: 'batch' } })
  const since = bao.auditMark()
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  t.equal(scene.asked(since).length, 0, 'nothing was asked of Vault at the end')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  void test(`${signal} while Vault hangs: it ends all the same`, async (t) => {
    const network = await scene.tcpProxy()
    const plugin = await scene.startHealthy({ address: network.address, kms: KMS })
    await network.hang()
    const call = outcomeOf(plugin.client.encrypt(newSeed(), { timeout: 20_000 }))
    await until('the call to be in flight', async () =>
      /kms_calls_in_flight 1/.test((await plugin.admin('/metrics')).text),
    )
    plugin.program.signal(signal)
    const { code, ms } = await endOf(plugin)
    t.equal(code, 0)
    // 3 s for the call, 1 s for the token, and slack for a busy machine.
    t.ok(ms < 8_000, `ended after ${ms.toFixed(0)} ms`)
    t.match(await call, { code: /^(UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED)$/ })
    t.notOk(existsSync(plugin.socket))
  })
}

void test('a successor takes the socket over while calls in flight are finished, and keeps it', async (t) => {
  const network = await scene.tcpProxy()
  const old = await scene.startHealthy({ address: network.address, kms: KMS })
  await network.hang()
  const call = outcomeOf(old.client.encrypt(newSeed(), { timeout: 20_000 }))
  await until('the call to be in flight', async () =>
    /kms_calls_in_flight 1/.test((await old.admin('/metrics')).text),
  )
  old.program.signal('SIGTERM')
  await until('the socket to go', () => !existsSync(old.socket))
  const successor = await scene.start({ kms: { ...KMS, socket: old.socket } })
  t.ok(old.program.running, 'both run')
  await successor.waitForHealth('ok')
  t.match(await endOf(old), { code: 0 })
  t.not((await call).code, 'OK')
  t.ok(existsSync(successor.socket), 'its end takes only its own socket away')
  const next = new KmsClient(successor.socket)
  t.match(await next.status(), { healthz: 'ok' })
  next.close()
})

void test('a second signal ends it at once, with 1', async (t) => {
  const network = await scene.tcpProxy()
  const plugin = await scene.startHealthy({ address: network.address, kms: KMS })
  await network.hang()
  const call = outcomeOf(plugin.client.encrypt(newSeed()))
  await until('the call to be in flight', async () =>
    /kms_calls_in_flight 1/.test((await plugin.admin('/metrics')).text),
  )
  plugin.program.signal('SIGTERM')
  await plugin.program.waitForLine(/"stopping"/)
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 1 })
  t.match(await call, { code: /^(UNAVAILABLE|CANCELLED|DEADLINE_EXCEEDED)$/ })
})

void test('SIGTERM before Vault was ever reached', async (t) => {
  const network = await scene.tcpProxy()
  await network.refuse()
  const plugin = await scene.start({ address: network.address, kms: KMS })
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  t.notOk(existsSync(plugin.socket))
})

void test('SIGTERM with an idle caller that keeps its connection open', async (t) => {
  const plugin = await scene.startHealthy({ kms: KMS })
  await plugin.client.status()
  plugin.program.signal('SIGTERM')
  const { code, ms } = await endOf(plugin)
  t.equal(code, 0)
  t.ok(ms < 2_500, `not the whole time for calls in flight (${ms.toFixed(0)} ms)`)
})

scene.end()
