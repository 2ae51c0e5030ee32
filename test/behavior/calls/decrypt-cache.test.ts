import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import type { Plugin } from '../../real/program/plugin.ts'
import { renderPolicy } from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const network = await fixture.tcpProxy()
const KMS = { refreshInterval: '1s', outageGrace: '0s' }

function startCaching(decryptCache: Record<string, unknown> = {}): Promise<Plugin> {
  return fixture.startHealthy({
    address: network.address,
    kms: { ...KMS, decryptCache: { enabled: true, ...decryptCache } },
    vault: { timeout: '500ms' },
  })
}

async function newData({ client }: Plugin) {
  const plaintext = newSeed()
  return { plaintext, wrapped: await client.encrypt(plaintext) }
}

void test('a cached seed is decrypted during an outage', async (t) => {
  const plugin = await startCaching()
  const { client } = plugin
  const known = await newData(plugin)
  const unknown = await newData(plugin)
  const since = fixture.bao.auditMark()
  t.same(await client.decrypt(known.wrapped), known.plaintext)
  t.same(await client.decrypt(known.wrapped), known.plaintext)
  t.equal(fixture.asked(since, /decrypt/).length, 1, 'the second call makes no request')

  await network.refuse()
  await plugin.waitForHealth(/refused/)
  t.same(await client.decrypt(known.wrapped), known.plaintext)
  t.match(await outcomeOf(client.decrypt(unknown.wrapped)), { code: 'UNAVAILABLE' }, 'an unknown')
  const other = { ...known.wrapped.annotations, 'cluster.transit-bridge.internal': randomBytes(32) }
  t.match(
    await outcomeOf(client.decrypt({ ...known.wrapped, annotations: other })),
    { code: 'FAILED_PRECONDITION' },
    'the cached ciphertext with other annotations is refused',
  )
  t.match(
    (await plugin.admin('/metrics')).text,
    /transit_bridge_decrypt_cache_hits_total 2/,
    'the hits are counted',
  )
  await network.pass()
  await plugin.waitForHealth('ok')
  t.same(await client.decrypt(unknown.wrapped), unknown.plaintext)
  await plugin.stop()
})

void test('a refusal by Vault empties the cache', async (t) => {
  const plugin = await startCaching()
  const known = await newData(plugin)
  await plugin.client.decrypt(known.wrapped)
  await fixture.vault.writePolicy('path "transit/keys/k8s-etcd" { capabilities = ["read"] }')
  await outcomeOf(plugin.client.encrypt(newSeed()))
  await plugin.waitForHealth(/denies/)
  t.match(await outcomeOf(plugin.client.decrypt(known.wrapped)), { code: 'PERMISSION_DENIED' })
  await fixture.vault.writePolicy(await renderPolicy('kms.hcl'))
  await plugin.waitForHealth('ok')
  t.same(await plugin.client.decrypt(known.wrapped), known.plaintext)
  await plugin.stop()
})

void test('the cache keeps at most maxEntries seeds, and none longer than its ttl', async (t) => {
  const plugin = await startCaching({ maxEntries: 2, ttl: '1s' })
  const { client } = plugin
  const seeds = [await newData(plugin), await newData(plugin), await newData(plugin)]
  for (const { wrapped } of seeds) await client.decrypt(wrapped)
  const since = fixture.bao.auditMark()
  for (const { wrapped, plaintext } of seeds) t.same(await client.decrypt(wrapped), plaintext)
  t.ok(fixture.asked(since, /decrypt/).length >= 1, 'the first one was evicted')
  const [, , last] = seeds
  await eventually('the end of the ttl', async () => {
    const mark = fixture.bao.auditMark()
    if (last !== undefined) await client.decrypt(last.wrapped)
    return fixture.asked(mark, /decrypt/).length === 1
  })
  await plugin.stop()
})

void test('without the cache, which is the default, nothing is decrypted during an outage', async (t) => {
  const plugin = await fixture.startHealthy({ address: network.address, kms: KMS })
  const known = await newData(plugin)
  await plugin.client.decrypt(known.wrapped)
  await network.refuse()
  t.match(await outcomeOf(plugin.client.decrypt(known.wrapped)), { code: 'UNAVAILABLE' })
  await network.pass()
  await plugin.waitForHealth('ok')
  await plugin.stop()
})

void test('the health probes of KMS v1 evict no seed: only DEK seeds are cached', async (t) => {
  const plugin = await fixture.startHealthy({
    kms: { ...KMS, v1beta1: true, decryptCache: { enabled: true, maxEntries: 2 } },
  })
  const { client } = plugin
  const { plaintext, wrapped } = await newData(plugin)
  await client.decrypt(wrapped)
  // As kube-apiserver does every 20 s (encryptionconfig/config.go, kmsPluginHealthzCheck).
  for (let probe = 0; probe < 5; probe += 1) {
    await client.decryptV1(await client.encryptV1(Buffer.from('ping')))
  }
  const since = fixture.bao.auditMark()
  t.same(await client.decrypt(wrapped), plaintext)
  t.equal(fixture.asked(since, /decrypt/).length, 0, 'still cached')
  await plugin.stop()
})

fixture.end()
