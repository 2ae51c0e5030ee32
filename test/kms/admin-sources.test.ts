import { rmSync } from 'node:fs'
import { test } from 'tap'
import { BridgeError } from '../../src/errors.ts'
import type { AdminSources } from '../../src/admin/app.ts'
import { createKmsAdminSources } from '../../src/kms/admin-sources.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { findSamples } from '../real/cluster/prometheus-text.ts'
import { eventually } from '../real/host/eventually.ts'
import { Node } from './local/node.ts'
import { serviceFixture, type FixtureOptions } from './service-fixture.ts'

const textOf = async ({ renderMetrics }: AdminSources) =>
  (await renderMetrics({ format: 'text', gzip: false })).body.toString()

async function adminFixture(
  options: FixtureOptions = {},
  session: { tokenExpiresAt: number | undefined; fault: BridgeError | undefined } = {
    tokenExpiresAt: undefined,
    fault: undefined,
  },
) {
  const fixture = await serviceFixture(options)
  const { watch, health, localKeys, clock } = fixture
  const metrics = createKmsMetrics('test')
  const sources = createKmsAdminSources({
    server: { isServing: true },
    plugin: { watch, health, localKeys, updateMetrics: () => undefined },
    session,
    clock,
    metrics,
  })
  return { ...fixture, sources }
}

void test('ready: the key, the age of its metadata, and when the token expires', async (t) => {
  const tokenExpiresAt = Date.UTC(2026, 0, 1, 1)
  const { sources, watch } = await adminFixture({}, { tokenExpiresAt, fault: undefined })
  t.equal(sources.isServing(), true)
  t.same(sources.readiness(), {
    ready: true,
    reason: 'ok',
    message: 'ok',
    details: {
      keyId: watch.snapshot?.keyId,
      keyVersion: 1,
      snapshotAgeSeconds: 10,
      vaultTokenExpiresAt: '2026-01-01T01:00:00.000Z',
    },
  })
})

void test('not ready: since when, why, and the fault of the login', async (t) => {
  const fault = new BridgeError('LOGIN_REFUSED', 'role x could not be found')
  const { sources, health, clock } = await adminFixture(
    { unreached: true },
    { tokenExpiresAt: Infinity, fault },
  )
  health.fail(new BridgeError('VAULT_DENIED', 'denied'), clock.monotonic() - 7_000)
  t.equal(sources.isServing(), true, 'a kubelet must not kill it for that')
  t.same(sources.readiness(), {
    ready: false,
    reason: 'VAULT_DENIED',
    message: 'denied',
    details: { failingSeconds: 7, loginFault: 'role x could not be found' },
  })
})

void test('a scrape contains health with one reason, and the age of the metadata', async (t) => {
  const { sources, health, clock } = await adminFixture()
  const healthy = async () => findSamples(await textOf(sources), 'transit_bridge_kms_healthy')
  t.match(await healthy(), [{ labels: { reason: 'ok' }, value: 1 }])
  health.fail(new BridgeError('VAULT_SEALED', 'sealed'), clock.monotonic())
  await clock.advance(2_000)
  t.match(await healthy(), [{ labels: { reason: 'VAULT_SEALED' }, value: 1 }], 'in its grace')
  await clock.advance(120_000)
  const text = await textOf(sources)
  const samples = findSamples(text, 'transit_bridge_kms_healthy')
  t.same([samples.length, samples[0]?.value], [1, 0])
  const [read] = findSamples(text, 'transit_bridge_status_snapshot_timestamp_seconds')
  t.equal(read?.value, clock.now() / 1000 - 132)
})

void test('before the first read there is no time of it, no key version, and no token', async (t) => {
  const { sources } = await adminFixture({ unreached: true })
  const text = await textOf(sources)
  for (const name of [
    'status_snapshot_timestamp_seconds',
    'key_version',
    'key_info',
    'vault_token_expiry_timestamp_seconds',
    'identity_token_expiry_timestamp_seconds',
  ]) {
    t.match(text, `# TYPE transit_bridge_${name} gauge`)
    t.same(findSamples(text, `transit_bridge_${name}`), [], name)
  }
})

void test('with local keys: how many there are, and how long they serve without Vault', async (t) => {
  const { sources, health, clock } = await adminFixture({ localKeys: { enabled: true } })
  t.match(sources.readiness(), { details: { localKeys: 1, offlineSecondsLeft: 14_390 } })
  const until = clock.now() / 1000 + 14_390
  const sampleOf = async (name: string) =>
    findSamples(await textOf(sources), `transit_bridge_${name}`)
  t.match(await sampleOf('local_keys'), [{ value: 1 }])
  t.match(await sampleOf('offline_until_timestamp_seconds'), [{ value: until }])
  health.fail(new BridgeError('VAULT_SEALED', 'it is sealed'), clock.monotonic())
  t.match(sources.readiness(), {
    ready: true,
    reason: 'VAULT_SEALED',
    message:
      'ok: local keys encrypt for 239 more minutes without Vault, which does not answer: it is sealed',
  })
  health.fail(new BridgeError('IDENTITY_MISSING', 'there is no token'), clock.monotonic())
  t.match(sources.readiness(), {
    ready: true,
    reason: 'IDENTITY_MISSING',
    message: / without Vault, which cannot be asked: there is no token$/,
  })
  health.fail(new BridgeError('HOST_UNAVAILABLE', 'no memory is left'), clock.monotonic())
  t.match(sources.readiness(), {
    ready: true,
    reason: 'HOST_UNAVAILABLE',
    message: / without Vault, which cannot be asked: no memory is left$/,
  })
})

void test('with a sealed file: whether it can be used', async (t) => {
  const node = new Node(t)
  const files = { sealedFile: node.sealedFile, nodeKeyFile: node.nodeKeyFile }
  const isUsable = async (
    localKeys: NonNullable<FixtureOptions['localKeys']>,
    options: FixtureOptions = {},
  ) => {
    const plugin = await adminFixture({ transit: node.transit, localKeys, ...options })
    const found = findSamples(
      await textOf(plugin.sources),
      'transit_bridge_sealed_file_usable',
    ).map(({ value }) => value)
    await plugin.stop()
    return found
  }
  t.same(await isUsable({ enabled: true }), [])
  const localKeys = { enabled: true, ...files }
  t.same(await isUsable(localKeys, { unreached: true }), [0], 'before the first write')
  const first = await serviceFixture({ transit: node.transit, localKeys })
  await eventually('the first write', () => first.localKeys?.fileFault === undefined)
  await first.stop()
  t.same(await isUsable(localKeys), [1])
  rmSync(node.nodeKeyFile)
  node.stopVault()
  t.same(await isUsable(localKeys), [0])
  t.same(await isUsable({ enabled: false, ...files }), [])
})

void test('without local keys there is no series of them', async (t) => {
  const { sources } = await adminFixture()
  t.notMatch(await textOf(sources), /^transit_bridge_(local_keys|offline_until|sealed_file)/m)
})
