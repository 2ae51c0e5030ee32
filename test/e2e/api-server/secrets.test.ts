// A Secret's life on a real API server: ciphertext in etcd, restart, rotation, a plugin that is killed.
import { t, test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { eventually } from '../../real/host/eventually.ts'
import {
  apiServerCalls,
  keyIdUses,
  kmsProviders,
  lastStatus,
  newKeyId,
  noticed,
  pluginCalls,
  vaultRequests,
} from '../observe.ts'
import { findInEtcd, parseStored, SECRETS, seedsOfSecrets, storedV2 } from '../stored.ts'
import { startCluster } from '../cluster.ts'

const cluster = await startCluster(t)
const { vault, etcd, plugin, api } = cluster
/** By the watch cache (kube-apiserver 1.37, apiserver/pkg/storage/etcd3/watcher.go). */
const DECODED_AT_ONCE = 10
const PASSWORD = 'the-password-that-etcd-never-sees'

void test('a Secret is ciphertext under the Transit key, and plaintext nowhere', async (t) => {
  await api.createSecret('default', 'first', { password: PASSWORD })
  t.same(await api.getSecret('default', 'first'), { password: PASSWORD })

  const bytes = await etcd.get(`${SECRETS}default/first`)
  t.match(bytes?.toString('latin1'), /^k8s:enc:kms:v2:transit-bridge:/)
  const { keyId } = await plugin.client.status()
  const stored = await storedV2(etcd, 'first')
  t.match(stored, { provider: 'transit-bridge', keyId, isSeed: true })
  t.match(stored.source, /^vault:v1:[A-Za-z0-9+/]+=*$/)
  t.same(stored.annotations, {
    'version.transit-bridge.internal': '1',
    'cluster.transit-bridge.internal': 'test-cluster',
  })
  t.same(await findInEtcd(etcd, PASSWORD), [])

  // The search does find what is there: a ConfigMap is not encrypted by this configuration.
  const visible = 'a-value-that-etcd-does-see'
  const configMap = { metadata: { name: 'visible' }, data: { value: visible } }
  await api.api('POST', '/api/v1/namespaces/default/configmaps', configMap)
  const found = await findInEtcd(etcd, visible)
  t.ok(found.includes('/registry/configmaps/default/visible'), found.join(', '))
  t.ok(
    found.some((place) => place.endsWith('.wal')),
    'the files are searched, too',
  )
})

void test('one Encrypt serves every write, and no Decrypt is needed to read them', async (t) => {
  const before = await pluginCalls(plugin, { method: 'Encrypt' })
  for (let count = 0; count < 20; count += 1) {
    await api.createSecret('default', `many-${String(count)}`, { value: String(count) })
    await api.getSecret('default', `many-${String(count)}`)
  }
  t.equal(await pluginCalls(plugin, { method: 'Encrypt' }), before)
  t.equal(await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' }), 0)
})

void test('an API server that restarts asks for the seeds and for nothing else', async (t) => {
  for (const name of ['second', 'third']) {
    await api.restart()
    await api.createSecret('default', name, { password: PASSWORD })
  }
  const seeds = (await seedsOfSecrets(etcd)).size
  t.equal(seeds, 3, 'each start makes a seed')
  const before = await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })
  const requestsBefore = await vaultRequests(plugin, 'decrypt')
  await api.restart()
  for (const name of ['first', 'second', 'third']) {
    t.same(await api.getSecret('default', name), { password: PASSWORD })
  }
  const list = await api.api('GET', '/api/v1/secrets')
  t.equal(list.items.length, 23)
  // Ten values of a list are decoded at once, and those of one seed do not wait for each other.
  const decrypts = (await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })) - before
  t.ok(decrypts >= seeds && decrypts <= seeds * DECODED_AT_ONCE, `${String(decrypts)} Decrypts`)
  t.equal(await apiServerCalls(api, 'Decrypt', 'OK'), decrypts)
  const requests = (await vaultRequests(plugin, 'decrypt')) - requestsBefore
  t.ok(requests <= decrypts, `${String(requests)} requests to Vault`)
  t.comment(`${String(seeds)} seeds: ${String(decrypts)} Decrypts, ${String(requests)} requests`)
  t.equal(await apiServerCalls(api, 'Encrypt', 'OK'), 1)
})

void test('after a rotation new writes use the new key id, and stale data is rewritten', async (t) => {
  const { keyId: old } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  const keyId = await newKeyId(plugin, old)
  await noticed(api, keyId)
  t.equal(await keyIdUses(api, keyId, 'to_storage'), 0)
  await api.createSecret('default', 'fresh', { password: PASSWORD })
  t.match(await storedV2(etcd, 'fresh'), { keyId, source: /^vault:v2:/ })
  t.equal(await keyIdUses(api, keyId, 'to_storage'), 1)

  // Old data can be read, and stays as it is until it is written.
  t.same(await api.getSecret('default', 'first'), { password: PASSWORD })
  t.match(await storedV2(etcd, 'first'), { keyId: old, source: /^vault:v1:/ })
  t.ok((await keyIdUses(api, old, 'from_storage')) > 0)

  t.not(await putUnchanged('first'), undefined, 'a PUT that changes nothing rewrites stale data')
  t.match(await storedV2(etcd, 'first'), { keyId, source: /^vault:v2:/ })
  t.equal(await putUnchanged('first'), undefined, 'once')
  t.equal(await putUnchanged('fresh'), undefined, 'what is not stale is not touched')

  const before = await etcd.range(SECRETS)
  for (const { key } of before) await putUnchanged(key.split('/').at(-1) ?? '')
  const after = new Map((await etcd.range(SECRETS)).map((each) => [each.key, each.modRevision]))
  for (const { key, value, modRevision } of before) {
    const stored = parseStored(value)
    const isStale = stored.format === 'v2' && stored.keyId !== keyId
    t.equal(after.get(key) !== modRevision, isStale, `${key} is ${isStale ? '' : 'not '}rewritten`)
  }
  t.equal((await seedsOfSecrets(etcd)).size, 1, 'one seed is left')
  t.same(await findInEtcd(etcd, PASSWORD), [])
})

void test('a plugin that is killed and started again is found again', async (t) => {
  await kmsProviders(api, 'ok')
  const { keyId } = await plugin.client.status()
  await plugin.kill()
  // If the plugin is gone, a call waits until its deadline.
  await kmsProviders(api, /DeadlineExceeded/)
  t.ok((await apiServerCalls(api, 'Status', 'DeadlineExceeded')) > 0)
  t.equal((await api.readyz()).status, 500)
  t.same(await api.getSecret('default', 'first'), { password: PASSWORD })
  await api.createSecret('default', 'meanwhile', { password: PASSWORD })

  const startedAt = performance.now()
  await plugin.restart()
  await kmsProviders(api, 'ok', { timeoutMs: 130_000, intervalMs: 250 })
  t.comment(`ready again after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  await eventually('the whole to be ready', async () => (await api.readyz()).status === 200)
  t.match(await storedV2(etcd, 'meanwhile'), { keyId })
  t.ok((await lastStatus(api, keyId)) > 0)
})

void test('what was tampered with is refused, with a code that says why', async (t) => {
  const whole = await etcd.get(`${SECRETS}default/first`)
  t.ok(whole)
  if (whole === undefined) return
  const { keyId } = await plugin.client.status()
  const damaged = {
    // Same lengths, so that the envelope stays one.
    'other-cluster': whole.toString('latin1').replace('test-cluster', 'evil-cluster'),
    'other-key-id': whole.toString('latin1').replace(keyId, `${keyId.slice(0, -4)}AAAA`),
    'other-version': whole.toString('latin1').replace('vault:v2:', 'vault:v1:'),
    'other-seed': whole.toString('latin1').replace(/(?<=vault:v2:.{20})..../, 'AAAA'),
  }
  for (const [name, text] of Object.entries(damaged)) {
    const key = `${SECRETS}damaged/${name}`
    await etcd.put(key, Buffer.from(text, 'latin1'))
    const { status, body } = await api.request('GET', `/api/v1/namespaces/damaged/secrets/${name}`)
    t.equal(status, 500, name)
    t.comment(String(body.message))
    await etcd.delete(key)
  }
  t.equal(await apiServerCalls(api, 'Decrypt', 'Internal'), 0)
  t.ok((await apiServerCalls(api, 'Decrypt', 'FailedPrecondition')) >= 2)
  t.ok((await apiServerCalls(api, 'Decrypt', 'InvalidArgument')) >= 1)
  await eventually('Secrets to be listed again', async () => {
    const { status } = await api.request('GET', '/api/v1/secrets')
    return status === 200
  })
  t.same(await api.getSecret('default', 'first'), { password: PASSWORD })
})

/** GET and PUT of the same; returns the new resourceVersion if there is one. */
async function putUnchanged(name: string): Promise<string | undefined> {
  const path = `/api/v1/namespaces/default/secrets/${name}`
  const object = await api.api('GET', path)
  const answer = await api.api('PUT', path, object)
  const { resourceVersion } = answer.metadata
  return resourceVersion === object.metadata.resourceVersion ? undefined : String(resourceVersion)
}
