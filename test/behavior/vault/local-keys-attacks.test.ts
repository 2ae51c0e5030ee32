// What an attacker or a failing Vault can do to the calls of a plugin with local keys.
import { test } from 'tap'

import { KEY } from '../../real/vault/kms-vault.ts'
import { makeKey, renderPolicy, rotateKey } from '../../real/vault/transit-setup.ts'
import { eventually } from '../../real/host/eventually.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { Fixture, newSeed, outcomeOf } from '../fixture.ts'

/** How often Vault refuses, agrees and rotates while calls run. */
const STORM_ROUNDS = Number(process.env['TRANSIT_BRIDGE_STORM_ROUNDS'] ?? 3)
const CALLERS = 64

const fixture = await Fixture.open()
const { bao, vault } = fixture
const LOCAL_KEY = 'local-key.transit-bridge.internal'
const CLUSTER = 'cluster.transit-bridge.internal'
const VERSION = 'version.transit-bridge.internal'

type Wrapped = Awaited<ReturnType<Plugin['client']['encrypt']>>

const wrappedKeyOf = ({ annotations }: Pick<Wrapped, 'annotations'>) =>
  Buffer.from(annotations[LOCAL_KEY] ?? []).toString('latin1')

/** One check at the start, and no other one that could change what is observed. */
const quiet = (more: object = {}) => ({
  refreshInterval: '5m',
  localKeys: { enabled: true, ...more },
})

void test('a changed envelope fails alone: no local key is lost, and Vault sees at most that one', async (t) => {
  const [one, other] = await Promise.all([
    fixture.startHealthy({ kms: quiet() }),
    fixture.startHealthy({ kms: quiet() }),
  ])
  const seed = newSeed()
  const good = await one.client.encrypt(seed)
  const foreign = await other.client.encrypt(newSeed())
  const wrapped = wrappedKeyOf(good)
  const [, , body = ''] = wrapped.split(':')
  const withKey = (text: string | Buffer) => ({
    ...good,
    annotations: { ...good.annotations, [LOCAL_KEY]: Buffer.from(text) },
  })
  const cut = Buffer.from(good.ciphertext)
  const changes: readonly Wrapped[] = [
    { ...good, ciphertext: foreign.ciphertext },
    { ...good, annotations: foreign.annotations },
    { ...good, ciphertext: cut.subarray(1) },
    { ...good, ciphertext: cut.subarray(0, 47) },
    { ...good, ciphertext: Buffer.alloc(0) },
    { ...good, ciphertext: Buffer.alloc(90_000, 1) },
    { ...good, keyId: foreign.keyId.slice(0, -1) },
    withKey(''),
    withKey('vault:v1:'),
    withKey('vault:v1:AAAA'),
    withKey(`vault:v1:${body.slice(0, -4)}AAA=`),
    withKey(`vault:v1:${Buffer.alloc(40).toString('base64')}`),
    withKey(`vault:v1:${Buffer.alloc(28).toString('base64')}`),
    withKey(`vault:v1:${body.slice(4)}`),
    withKey(`vault:v1:${body}AAAA`),
    withKey(`vault:v1:${body}\n`),
    withKey(`vault:v999999999:${body}`),
    withKey(`vault:v2:${body}`),
    withKey(`vault:v0:${body}`),
    withKey(`vault:v1:${'A'.repeat(2_000)}`),
    withKey(Buffer.alloc(1_000, 0xff)),
    withKey(Buffer.from(good.ciphertext)),
    { ...good, annotations: { ...good.annotations, [CLUSTER]: Buffer.from('other') } },
    { ...good, annotations: { ...good.annotations, [VERSION]: Buffer.from('1') } },
    { ...good, annotations: { ...good.annotations, [VERSION]: Buffer.from('3') } },
    { ...good, annotations: { ...good.annotations, 'more.example.com': Buffer.from('x') } },
  ]
  for (const [at, change] of changes.entries()) {
    const { code } = await outcomeOf(one.client.decrypt(change))
    t.match(code, /^(INVALID_ARGUMENT|FAILED_PRECONDITION)$/, `change ${String(at)}`)
    const mark = bao.auditMark()
    t.same(await one.client.decrypt(good), seed)
    t.equal((await one.client.encrypt(seed)).keyId, good.keyId)
    t.same(fixture.asked(mark, /transit/), [], `after change ${String(at)}`)
  }
  t.equal((await one.client.status()).healthz, 'ok')
})

void test('thousands of invalid local keys at once neither stop other calls nor fill the memory', async (t) => {
  const plugin = await fixture.startHealthy({ kms: quiet() })
  const seed = newSeed()
  const good = await plugin.client.encrypt(seed)
  const bogus = () => ({
    ...good,
    annotations: {
      ...good.annotations,
      [LOCAL_KEY]: Buffer.from(
        `vault:v1:${Buffer.concat([newSeed(), newSeed()]).subarray(0, 60).toString('base64')}`,
      ),
    },
  })
  const attack = Array.from({ length: 5_000 }, () =>
    outcomeOf(plugin.client.decrypt(bogus(), { timeout: 60_000 })),
  )
  for (let count = 0; count < 100; count += 1)
    t.same(await plugin.client.decrypt(good, { timeout: 60_000 }), seed)
  const codes = new Set((await Promise.all(attack)).map(({ code }) => code))
  t.same(
    [...codes].filter((code) => !['INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED'].includes(code)),
    [],
  )
  t.match((await plugin.admin('/metrics')).text, /^transit_bridge_local_keys 1$/m)
  const mark = bao.auditMark()
  t.same(await plugin.client.decrypt(good), seed)
  t.same(fixture.asked(mark, /transit/), [])
})

void test('a local key that is due stays in use while Vault does not answer at all', async (t) => {
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({
    address: network.address,
    kms: quiet({ maxUses: 1 }),
  })
  const seed = newSeed()
  const first = await plugin.client.encrypt(seed)
  await network.hang()
  for (let count = 0; count < 3; count += 1) {
    const wrapped = await plugin.client.encrypt(seed)
    t.equal(wrappedKeyOf(wrapped), wrappedKeyOf(first))
    t.same(await plugin.client.decrypt(wrapped), seed)
  }
  await network.pass()
  await eventually('a new local key', async () => {
    return wrappedKeyOf(await plugin.client.encrypt(seed)) !== wrappedKeyOf(first)
  })
})

void test('Transit decrypts everything that Encrypt returned during refusals and rotations', async (t) => {
  const name = 'storm'
  await makeKey(bao, name)
  const policy = (await renderPolicy('kms.hcl')).replaceAll(KEY, '+')
  await vault.writePolicy(policy)
  const settings = {
    transit: { key: name },
    kms: { refreshInterval: '1s', localKeys: { enabled: true, maxUses: 200 } },
  }
  const plugin = await fixture.startHealthy(settings)
  const handedOut: { seed: Buffer; wrapped: Wrapped }[] = []
  const refused = new Map<string, number>()
  const end = new AbortController()
  const call = async () => {
    while (!end.signal.aborted) {
      const seed = newSeed()
      try {
        handedOut.push({ seed, wrapped: await plugin.client.encrypt(seed) })
        // The test and the plugin share two processors with others.
        if (handedOut.length % 8 === 0) await plugin.client.decrypt(handedOut.at(-1)!.wrapped)
      } catch (error) {
        const { code } = await outcomeOf(Promise.reject(error))
        refused.set(code, (refused.get(code) ?? 0) + 1)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
  const disturb = async () => {
    for (let round = 0; round < STORM_ROUNDS; round += 1) {
      await bao.api('DELETE', 'sys/policies/acl/transit-bridge-kms')
      await plugin.waitForHealth(/denies/).catch(() => undefined)
      await rotateKey(bao, name)
      await vault.writePolicy(policy)
      await plugin.waitForHealth('ok')
      const before = handedOut.length
      await eventually('more seeds', () => handedOut.length >= before + CALLERS)
      await rotateKey(bao, name)
    }
  }
  const ended = disturb().finally(() => end.abort())
  await Promise.all([ended, ...Array.from({ length: CALLERS }, call)])
  t.comment(`${String(handedOut.length)} seeds; refused: ${JSON.stringify([...refused])}`)
  t.ok(handedOut.length > 0)
  t.ok((refused.get('PERMISSION_DENIED') ?? 0) > 0)
  const keys = new Set(handedOut.map(({ wrapped }) => wrappedKeyOf(wrapped)))
  t.comment(`${String(keys.size)} local keys`)
  t.ok(keys.size > 2)
  const reader = await fixture.startHealthy({ transit: { key: name } })
  const other = await fixture.startHealthy(settings)
  let lost = 0
  for (let at = 0; at < handedOut.length; at += CALLERS) {
    const part = handedOut.slice(at, at + CALLERS)
    const results = await Promise.all(
      part.map(async ({ seed, wrapped }, index) => {
        const by = [reader, other, plugin][(at + index) % 3] ?? other
        return (await by.client.decrypt(wrapped, { timeout: 30_000 })).equals(seed)
      }),
    )
    lost += results.filter((isSame) => !isSame).length
  }
  t.equal(lost, 0)
})

fixture.end()
