// With local keys, an API server starts, reads and writes during an outage of Vault (docs/availability.md).
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t, test } from 'tap'

import { NODE_KEY_CREDENTIAL } from '../../../src/files/systemd-credential.ts'
import { applyNodeKey, planNodeKey } from '../../../src/node/key/node-key.ts'
import { SystemdCreds } from '../../../src/files/systemd-creds.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { startApiServer, startPlugin, usualConfig } from '../cluster.ts'
import { kmsProviders } from '../observe.ts'
import { storedV2 } from '../stored.ts'
import { startOfflineCluster } from './local-keys.ts'

/** A node key as setup node-key makes it, and where its unit puts it: into memory. */
async function provideNodeKey(): Promise<string> {
  const creds = new SystemdCreds({})
  const root = tempFolder('node-key')
  cpSync('/var/lib/systemd/credential.secret', join(root, 'var/lib/systemd/credential.secret'))
  const wanted = { creds, withKey: 'host', replace: false, root } as const
  await applyNodeKey(wanted, await planNodeKey(wanted))
  const nodeKey = await creds.decrypt(readFileSync(join(wanted.root, NODE_KEY_CREDENTIAL)))
  const folder = mkdtempSync('/dev/shm/transit-bridge-')
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'key')
  writeFileSync(file, nodeKey, { mode: 0o400 })
  return file
}

const sealedFile = join(tempFolder('sealed'), 'local-keys')
const signer = await ServiceAccountIssuer.create()
const cluster = await startOfflineCluster(t, {
  api: { signer },
  seeds: 300,
  secrets: 1_000,
  localKeys: { sealedFile, nodeKeyFile: await provideNodeKey() },
})
const { vault, plugin, api } = cluster

/** How many local keys a plugin has created since its start. */
const createdBy = (each: Plugin) =>
  each.logLines().filter(({ msg }) => msg === 'created a new local key').length

void test('without Vault, the API server is ready after each start, reads every seed and writes', async (t) => {
  await vault.bao.kill()
  cluster.mark()
  for (let start = 0; start < 3; start += 1) {
    const { readySeconds, readSeconds } = await cluster.restart()
    t.comment(`ready after ${readySeconds.toFixed(1)} s, read in ${readSeconds.toFixed(1)} s`)
  }
  t.equal(cluster.vaultRequests(), 0)
  t.match(await plugin.client.status(), { healthz: 'ok' })
  t.match((await plugin.admin('/readyz')).text, /^ok: local keys encrypt for \d+ more/)
  await kmsProviders(api, 'ok')
})

void test('without Vault, the plugin and the API server are killed and start again from the sealed file', async (t) => {
  await eventually('the sealed file', () => existsSync(sealedFile))
  const before = await plugin.client.status()
  for (let start = 0; start < 2; start += 1) {
    await api.kill()
    await plugin.kill()
    await plugin.restart()
    t.same(await plugin.client.status(), before, 'at once, and with the same key id')
    cluster.mark()
    const { readySeconds, readSeconds } = await cluster.restart()
    t.comment(`ready after ${readySeconds.toFixed(1)} s, read in ${readSeconds.toFixed(1)} s`)
    t.equal(cluster.vaultRequests(), 0)
  }
})

void test('when Vault is back, the same', async (t) => {
  const before = createdBy(plugin)
  await vault.bao.restart()
  await eventually('the plugin to notice it', async () =>
    /^ok$/m.test((await plugin.admin('/readyz')).text),
  )
  // The one from the sealed file is used until Vault has encrypted another.
  await eventually('the new local key', () => createdBy(plugin) > before)
  cluster.mark()
  await cluster.restart()
  t.equal(cluster.vaultRequests(), 0)
  await kmsProviders(api, 'ok')
})

void test('of two API servers, the one that restarts without Vault writes what the other one reads', async (t) => {
  const secondPlugin = await startPlugin(t, vault, cluster.proxy, { localKeys: { enabled: true } })
  const second = await startApiServer(t, {
    etcd: cluster.etcd,
    signer,
    encryptionConfig: usualConfig(secondPlugin.socket),
  })
  await cluster.readAll(second)
  // After a restart, a plugin has a new local key under which nothing is stored.
  const before = createdBy(plugin)
  await plugin.kill()
  await plugin.restart()
  await plugin.waitForHealth('ok')
  await eventually('the new local key', () => createdBy(plugin) > before)
  await cluster.readAll(api)
  const wrappedKeyOf = async (name: string) =>
    (await storedV2(cluster.etcd, name)).annotations['local-key.transit-bridge.internal']

  await vault.bao.kill()
  for (const each of [plugin, secondPlugin])
    await eventually('the plugin to notice it', async () =>
      (await each.admin('/readyz')).text.startsWith('ok: local keys encrypt for'),
    )
  cluster.mark()
  const { written } = await cluster.restart(api)
  await cluster.readAll(second)
  const { written: back } = await cluster.restart(second)
  await cluster.readAll(api)
  t.equal(cluster.vaultRequests(), 0)
  t.same(await wrappedKeyOf(back), await wrappedKeyOf(written))

  await vault.bao.restart()
  for (const each of [plugin, secondPlugin])
    await eventually('the plugin to notice it', async () =>
      /^ok$/m.test((await each.admin('/readyz')).text),
    )
  const { written: online } = await cluster.restart(api)
  t.notSame(await wrappedKeyOf(online), await wrappedKeyOf(written), 'its own local key again')
  await cluster.readAll(second)
  const { written: last } = await cluster.restart(second)
  await cluster.readAll(api)
  t.notSame(await wrappedKeyOf(last), await wrappedKeyOf(online))
  for (const each of [api, second]) await kmsProviders(each, 'ok')
})
