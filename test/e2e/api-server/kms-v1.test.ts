// KMS v1, which API servers still have behind a feature gate, and the way from it to v2.
import { t, test } from 'tap'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { kmsProviders, pluginCalls } from '../observe.ts'
import { findInEtcd, SECRETS, storedSecret, storedV2 } from '../stored.ts'
import { startCluster } from '../cluster.ts'

const VALUES = { password: 'the-password-under-kms-v1' }
const OLD = { name: 'transit-bridge-v1', apiVersion: 'v1' } as const

const { api, etcd, plugin } = await startCluster(t, {
  kms: { v1beta1: true },
  encryptionConfig: (socket) => encryptionConfig([kms(socket, OLD), identity]),
  api: { extraArgs: ['--feature-gates=KMSv1=true'] },
})

void test('Secrets are written and read by KMS v1', async (t) => {
  const before = await pluginCalls(plugin, { method: 'Encrypt', code: 'OK' })
  await api.createSecret('default', 'one', VALUES)
  await api.createSecret('default', 'two', VALUES)
  const encrypts = (await pluginCalls(plugin, { method: 'Encrypt', code: 'OK' })) - before
  t.ok(encrypts >= 2, `${String(encrypts)} Encrypts: one for each write, as KMS v1 has it`)
  const bytes = await etcd.get(`${SECRETS}default/one`)
  t.match(bytes?.toString('latin1'), /^k8s:enc:kms:v1:transit-bridge-v1:/)
  t.match(await storedSecret(etcd, 'one'), {
    format: 'v1',
    cipher: /^transit-bridge:v1:.*vault:v1:/,
  })
  t.same(await findInEtcd(etcd, VALUES.password), [])

  const decrypts = await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })
  await api.restart()
  t.same(await api.getSecret('default', 'one'), VALUES)
  t.ok((await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })) > decrypts)
})

void test('a second provider on the same socket takes them to KMS v2', async (t) => {
  const providers = [kms(plugin.socket), kms(plugin.socket, OLD), identity]
  await api.restart({ encryptionConfig: encryptionConfig(providers) })
  t.same(await api.getSecret('default', 'one'), VALUES)
  const { keyId } = await plugin.client.status()
  for (const name of ['one', 'two']) {
    t.match(await storedSecret(etcd, name), { format: 'v1' }, 'reading rewrites nothing')
    await api.patchSecret('default', name)
    t.match(await storedV2(etcd, name), { keyId, provider: 'transit-bridge' })
  }

  // The move is complete: neither the provider nor the service of KMS v1 is needed now.
  await api.restart({ encryptionConfig: encryptionConfig([kms(plugin.socket)]) })
  await kmsProviders(api, 'ok')
  t.same(await api.getSecret('default', 'two'), VALUES)
})
