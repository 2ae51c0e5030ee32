import { after, end, test } from 'tap'
import { CsiClient } from '../real/program/csi-client.ts'
import { Provider } from '../real/program/provider.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { ALLOW_ALL, failure } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('app-signing', 'ed25519')

const PUBLIC = { path: 'a.pem', type: 'publicKey', key: 'app-signing' }

/** The built program, under the heap limit that it is shipped with. */
async function startProvider(address: string) {
  const provider = await Provider.start(tempFolder('providers'), {
    vault: { address },
    csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
    log: { level: 'error' },
  })
  return { provider, driver: new CsiClient(provider.socket) }
}

/** A class of some KiB, unlike every other one: its ciphertexts are of a key that does not exist. */
function largeClass(index: number, kibibytes: number): object[] {
  const ciphertext = `vault:v1:${'QUJD'.repeat(2_560)}`
  return Array.from({ length: Math.floor(kibibytes / 10) }, (_none, position) => ({
    path: `file-${String(index)}-${String(position)}`,
    type: 'decrypt',
    key: 'app-none',
    ciphertext,
  }))
}

void test('hundreds of large classes, valid and invalid, do not exhaust the heap', async (t) => {
  const { provider, driver } = await startProvider(vault.bao.address)
  t.teardown(() => driver.close())
  t.teardown(() => provider.stop())
  for (let index = 0; index < 180; index += 1) {
    const objects = [{ ...PUBLIC, unknown: index }, ...largeClass(index, 240)]
    const attributes = await vault.attributes(newPod(), objects)
    t.match(await failure(driver.mount({ attributes })), { code: 'INVALID_ARGUMENT' })
  }
  for (let index = 0; index < 180; index += 1) {
    const attributes = await vault.attributes(newPod(), largeClass(index, 110))
    await failure(driver.mount({ attributes }))
  }
  for (let index = 0; index < 180; index += 1) {
    const attributes = await vault.attributes(newPod(), largeClass(index, 240), { role: 'none' })
    t.match(await failure(driver.mount({ attributes })), { code: 'PERMISSION_DENIED' })
  }
  const attributes = await vault.attributes(newPod(), [PUBLIC])
  t.equal((await driver.mount({ attributes })).files.size, 1)
})

void test('large classes that all wait for Vault do not exhaust the heap', async (t) => {
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const { provider, driver } = await startProvider(proxy.address)
  t.teardown(() => driver.close())
  t.teardown(() => provider.stop())
  await proxy.hang()
  await Promise.all(
    Array.from({ length: 200 }, async (_none, index) => {
      const attributes = await vault.attributes(newPod(), largeClass(index, 240))
      return failure(driver.mount({ attributes }))
    }),
  )
  await proxy.pass()
  const again = new CsiClient(provider.socket)
  t.teardown(() => again.close())
  const attributes = await vault.attributes(newPod(), [PUBLIC])
  t.equal((await again.mount({ attributes })).files.size, 1)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
