// From vault-kubernetes-kms to this plugin: the socket and the provider's name stay, no data is lost.
import { join } from 'node:path'
import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { Plugin } from '../../real/program/plugin.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { encryptionConfig, kms } from '../encryption-config.ts'
import { kmsProviders, noticed, pluginCalls } from '../observe.ts'
import { findInEtcd, SECRETS, parseStored, storedV2 } from '../stored.ts'
import { VaultKubernetesKms } from './vault-kubernetes-kms.ts'
import { pluginConfiguration, startApiServer, startEtcd, startVault } from '../cluster.ts'

const VALUES = { password: 'the-password-of-the-former-plugin' }

void test('data of vault-kubernetes-kms is read and rewritten', async (t) => {
  const [{ vault, proxy }, etcd] = await Promise.all([startVault(t), startEtcd(t)])
  const socket = join(tempFolder('former-plugin'), 'kms.sock')
  const former = await VaultKubernetesKms.serve(vault.bao, socket)
  t.teardown(() => former.stop())
  const config = encryptionConfig([kms(socket, { name: 'vault-kubernetes-kms' })])
  const api = await startApiServer(t, { etcd, encryptionConfig: config })
  await api.createSecret('default', 'one', VALUES)
  await api.createSecret('default', 'two', VALUES)
  t.match(await storedV2(etcd, 'one'), { keyId: '1', source: /^vault:v1:/, annotations: {} })
  t.same((await storedV2(etcd, 'one')).annotations, {})
  await rotateKey(vault.bao, KEY)
  await api.restart()
  await api.createSecret('default', 'three', VALUES)
  t.match(await storedV2(etcd, 'three'), { keyId: '2', source: /^vault:v2:/ })

  former.stop()
  const plugin = await Plugin.start(
    pluginConfiguration(vault, proxy, { socket, acceptFrom: ['vault-kubernetes-kms'] }),
  )
  t.teardown(() => plugin.stop())
  await plugin.waitForHealth('ok')
  const { keyId } = await plugin.client.status()
  await noticed(api, keyId)
  await kmsProviders(api, 'ok')
  t.equal(await pluginCalls(plugin, { method: 'Decrypt' }), 0, 'what it has read it has in memory')
  await api.restart()
  for (const name of ['one', 'two', 'three']) t.same(await api.getSecret('default', name), VALUES)
  t.ok((await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })) >= 2)

  for (const name of ['one', 'two', 'three']) {
    const path = `/api/v1/namespaces/default/secrets/${name}`
    await api.api('PUT', path, await api.api('GET', path))
  }
  for (const { key, value } of await etcd.range(SECRETS)) {
    const annotations = { 'cluster.transit-bridge.internal': 'test-cluster' }
    t.match(parseStored(value), { provider: 'vault-kubernetes-kms', keyId, annotations }, key)
  }

  // Nothing is left of the former plugin, so its data no longer has to be accepted.
  await plugin.kill()
  plugin.configure(pluginConfiguration(vault, proxy, { socket }))
  await plugin.restart()
  await api.restart()
  t.same(await api.getSecret('default', 'one'), VALUES)
  t.same(await findInEtcd(etcd, VALUES.password), [])
})
