// Two API servers, each with its plugin, on one etcd: what one writes, the other reads, through a rotation.
import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { keyIdUses, lastStatus, lastUse } from '../observe.ts'
import { eventually } from '../../real/host/eventually.ts'
import { storedV2 } from '../stored.ts'
import { startApiServer, startCluster, startPlugin, usualConfig } from '../cluster.ts'

/** Most objects of the stream; it ends earlier when both have changed over. */
const LONGEST_STREAM = 400

void test('they converge after a rotation, and read each other at every moment', async (t) => {
  const signer = await ServiceAccountIssuer.create()
  const { vault, proxy, etcd, plugin, api } = await startCluster(t, { api: { signer } })
  const secondPlugin = await startPlugin(t, vault, proxy)
  const second = await startApiServer(t, {
    etcd,
    signer,
    encryptionConfig: usualConfig(secondPlugin.socket),
  })
  const { keyId: old } = await plugin.client.status()
  t.equal((await secondPlugin.client.status()).keyId, old, 'the same key id, without being told')

  const used = new Map<KubeApiServer, Set<string>>([
    [api, new Set()],
    [second, new Set()],
  ])
  let written = 0
  const writeAndRead = async (writer: KubeApiServer, reader: KubeApiServer) => {
    const name = `stream-${String(written)}`
    written += 1
    await writer.createSecret('default', name, { value: name })
    t.same(await reader.getSecret('default', name), { value: name })
    used.get(writer)?.add((await storedV2(etcd, name)).keyId)
  }
  const round = async () => {
    await writeAndRead(api, second)
    await writeAndRead(second, api)
    await Promise.all([api.readyz('kms-providers'), second.readyz('kms-providers')])
  }
  for (let count = 0; count < 5; count += 1) await round()
  await rotateKey(vault.bao, KEY)
  await eventually(
    'both to write under the new key id',
    async () => {
      if (written > LONGEST_STREAM) throw new Error(`${String(written)} objects were written`)
      await round()
      return [...used.values()].every((keyIds) => keyIds.size === 2)
    },
    { timeoutMs: 60_000, intervalMs: 250 },
  )
  t.comment(`${String(written)} objects`)
  const { keyId } = await plugin.client.status()
  t.not(keyId, old)
  t.equal((await secondPlugin.client.status()).keyId, keyId)
  for (const server of [api, second]) {
    t.same([...(used.get(server) ?? [])], [old, keyId], 'no key id comes back')
    t.ok((await lastStatus(server, keyId)) > (await lastStatus(server, old)))
    t.ok((await keyIdUses(server, keyId, 'to_storage')) > 0)
    t.ok((await lastUse(server, keyId, 'to_storage')) > (await lastUse(server, old, 'to_storage')))
  }

  // Through either of them, everything is rewritten.
  for (let count = 0; count < written; count += 1) {
    await (count % 2 === 0 ? api : second).patchSecret('default', `stream-${String(count)}`)
  }
  for (let count = 0; count < written; count += 1) {
    const name = `stream-${String(count)}`
    const stored = await storedV2(etcd, name)
    if (stored.keyId !== keyId) t.fail(`${name} is stored under the old key id`)
  }
  await Promise.all([api.restart(), second.restart()])
  for (const server of [api, second]) {
    const list = await server.api('GET', '/api/v1/namespaces/default/secrets')
    t.equal(list.items.length, written)
  }
})
