import { test } from 'tap'
import { CsiClient } from '../../real/program/csi-client.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { Provider } from '../../real/program/provider.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { newPod, PodVault } from '../../csi/pod-vault.ts'
import { ALLOW_ALL } from '../../csi/fixture.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'

/** A Vault whose listener requires a client certificate (tls_require_and_verify_client_cert). */
const authority = await CertificateAuthority.create('authority')
const [server, operator, node] = [
  await authority.server('vault'),
  await authority.client('operator'),
  await authority.client('node'),
]
const { caFile } = authority
const tls = { ...server, caFile, clientCaFile: caFile, required: operator }
const fixture = await Fixture.open({ tls })
const { certFile, keyFile } = node
const asked = /requires a client certificate; set vault\.clientCertFile and vault\.clientKeyFile/

void test('without a client certificate, Status names the keys to set', async (t) => {
  const plugin = await fixture.start()
  await plugin.waitForHealth(asked)
  await plugin.stop()
  t.pass()
})

void test('with vault.clientCertFile, a login by jwt works', async (t) => {
  const plugin = await fixture.startHealthy({
    vault: { clientCertFile: certFile, clientKeyFile: keyFile },
  })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  await plugin.stop()
})

void test('so does vault.auth.certFile', async (t) => {
  const plugin = await fixture.startHealthy({
    vault: {},
    auth: { certFile, keyFile },
  })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  await plugin.stop()
})

void test('the CSI provider uses vault.clientCertFile, too', async (t) => {
  const vault = await PodVault.start({ tls })
  t.teardown(() => vault.stop())
  await vault.makeKey('app-signing', 'ed25519')
  const objects = [{ path: 'a.pem', type: 'publicKey', key: 'app-signing' }]
  const mount = async (section: object) => {
    const provider = await Provider.start(tempFolder('providers'), {
      vault: { address: vault.bao.address, caFile, ...section },
      csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
    })
    const driver = new CsiClient(provider.socket)
    try {
      return await outcomeOf(
        driver.mount({ attributes: await vault.attributes(newPod(), objects) }),
      )
    } finally {
      driver.close()
      await provider.stop()
    }
  }
  t.match(await mount({}), { code: 'FAILED_PRECONDITION', message: asked })
  t.match(await mount({ clientCertFile: certFile, clientKeyFile: keyFile }), { code: 'OK' })
})

fixture.end()
