// The EncryptionConfiguration changes while the API server runs, which checks the file once a minute.
import { test } from 'tap'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { kmsProviders, reloads } from '../observe.ts'
import { findInEtcd, parseStored, storedSecret, storedV2 } from '../stored.ts'
import { startCluster } from '../cluster.ts'

const VALUES = { password: 'the-password-before-encryption' }

void test('encryption is enabled, and a resource added, without a restart', async (t) => {
  const { api, etcd, plugin } = await startCluster(t, {
    encryptionConfig: () => encryptionConfig([identity]),
  })
  const { pid } = api
  await api.createSecret('default', 'plain', VALUES)
  t.match(await storedSecret(etcd, 'plain'), { format: 'plain' })
  t.not((await findInEtcd(etcd, VALUES.password)).length, 0)
  const configMaps = '/api/v1/namespaces/default/configmaps'
  await api.api('POST', configMaps, { metadata: { name: 'settings' }, data: VALUES })

  // A plugin that does not exist: the new configuration is refused, and the old one stays in use.
  await api.writeEncryptionConfig(encryptionConfig([kms('/nowhere/kms.sock'), identity]))
  await reloads(api, 'failure', 1)
  await api.createSecret('default', 'still-plain', VALUES)
  t.match(await storedSecret(etcd, 'still-plain'), { format: 'plain' })

  await api.writeEncryptionConfig(
    encryptionConfig([kms(plugin.socket), identity], ['secrets', 'configmaps']),
  )
  await reloads(api, 'success', 1)
  await kmsProviders(api, 'ok')
  await api.createSecret('default', 'encrypted', VALUES)
  const { keyId } = await plugin.client.status()
  t.match(await storedV2(etcd, 'encrypted'), { keyId })
  t.same(await api.getSecret('default', 'plain'), VALUES, 'what is plain is read')
  await api.patchSecret('default', 'plain')
  t.match(await storedV2(etcd, 'plain'), { keyId }, 'and becomes ciphertext by a no-op write')

  await api.api('PATCH', `${configMaps}/settings`, {})
  const settings = await etcd.get('/registry/configmaps/default/settings')
  t.match(settings === undefined ? undefined : parseStored(settings), { format: 'v2', keyId })
  t.equal(api.pid, pid, 'it is the same process')
})
