import { statSync } from 'node:fs'
import { after, end, test } from 'tap'
import { CsiClient } from '../real/program/csi-client.ts'
import { Provider } from '../real/program/provider.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { ALLOW_ALL, failure, podRequests } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('app-signing', 'ed25519')
await vault.makeKey('app-data')

function configurationOf(address: string) {
  return {
    vault: { address },
    csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
  }
}

async function attributesOf(pod = newPod()) {
  const ciphertext = await vault.encrypt('app-data', 'hunter2')
  return vault.attributes(pod, [
    { path: 'a.pem', type: 'publicKey', key: 'app-signing' },
    { path: 'password', type: 'decrypt', key: 'app-data', ciphertext },
  ])
}

void test('the built program serves Mounts, counts them in metrics, and revokes tokens when it stops', async (t) => {
  const provider = await Provider.start(tempFolder('providers'), configurationOf(vault.bao.address))
  const driver = new CsiClient(provider.socket)
  t.teardown(() => driver.close())
  t.equal(statSync(provider.socket).mode & 0o777, 0o600)
  const attributes = await attributesOf()
  await driver.mount({ attributes })
  const { files } = await driver.mount({ attributes })
  t.equal(String(files.get('password')?.contents), 'hunter2')
  await failure(driver.mount({ attributes: await vault.attributes(newPod(), []) }))
  const { text } = await provider.admin('/metrics')
  for (const line of [
    'transit_bridge_csi_mount_duration_seconds_count{code="OK"} 2',
    'transit_bridge_csi_mount_duration_seconds_count{code="INVALID_ARGUMENT"} 1',
    'transit_bridge_csi_objects_total{type="decrypt",outcome="vault"} 1',
    'transit_bridge_csi_objects_total{type="decrypt",outcome="cache"} 1',
    'transit_bridge_csi_content_hits_total 1',
    'transit_bridge_csi_sessions 1',
    'transit_bridge_csi_volumes 2',
    'transit_bridge_vault_logins_total{method="jwt",outcome="ok"} 1',
  ]) {
    t.ok(text.includes(`${line}\n`), line)
  }
  t.match(text, /^transit_bridge_csi_oldest_content_timestamp_seconds \d/m)
  t.match(await provider.admin('/readyz'), { status: 200 })
  const mark = vault.bao.auditMark()
  t.equal(await provider.stop(), 0)
  t.same(podRequests(vault, mark), ['update auth/token/revoke-self'])
})

void test('HTTP/2 refuses a driver older than 1.6.0, and the log says what to do', async (t) => {
  const provider = await Provider.start(tempFolder('providers'), configurationOf(vault.bao.address))
  t.teardown(() => provider.stop())
  const old = new CsiClient(provider.socket, provider.socket)
  t.teardown(() => old.close())
  t.match(await failure(old.mount({ attributes: '{}' })), { code: 'INTERNAL' })
  await provider.program.waitForLine(
    /a Secrets Store CSI driver older than 1\.6\.0 sends the path .* update the driver to 1\.6\.0/,
  )
  const { text } = await provider.admin('/metrics')
  t.match(text, /^transit_bridge_csi_streams_refused_total [1-9]/m)
  const driver = new CsiClient(provider.socket)
  t.teardown(() => driver.close())
  t.ok((await driver.mount({ attributes: await attributesOf() })).files.size)
})

void test('it serves before Vault is reachable, and again after a kill', async (t) => {
  const provider = await Provider.start(
    tempFolder('providers'),
    configurationOf('http://127.0.0.1:1'),
  )
  t.teardown(() => provider.stop())
  const driver = new CsiClient(provider.socket)
  t.teardown(() => driver.close())
  const attributes = await attributesOf()
  t.match(await failure(driver.mount({ attributes })), {
    message: /Vault at http:\/\/127\.0\.0\.1:1/,
  })
  provider.configure(configurationOf(vault.bao.address))
  await provider.kill()
  await provider.restart()
  t.equal((await driver.mount({ attributes })).files.size, 2)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
