import { test, type Test } from 'tap'
import type { AuditRequest } from '../../real/vault/audit-log.ts'
import { KmsVault } from '../../real/vault/kms-vault.ts'
import { OpenBao, type AuditMark } from '../../real/vault/openbao.ts'
import { linesSaying, newSeed, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

/**
 * A second address that leads to another Vault: a disaster recovery site, or a node that was initialized again.
 * What it refuses says nothing about the first one.
 */
// When tokens expire during an outage, the plugin logs in wherever it can.
const fixture = await Fixture.open({ ttl: '4s' })
const network = await fixture.tcpProxy()
const KMS = { refreshInterval: '1s', decryptCache: { enabled: true } }

/** One outage of the first address, with calls that meet it; then the first address is back. */
async function surviveOutage(t: Test, second: string): Promise<void> {
  const plugin = await fixture.startHealthy({ address: [network.address, second], kms: KMS })
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  await plugin.client.decrypt(wrapped)

  await network.refuse()
  const told = await plugin.client.encrypt(newSeed()).then(
    () => 'encrypted',
    (error: unknown) => String(error),
  )
  t.match(told, /connection refused/, 'the outage is reported, not the refusal of another Vault')
  t.equal((await plugin.client.status()).healthz, 'ok', 'within its grace')
  t.strictSame(await plugin.client.decrypt(wrapped), seed, 'the cache is kept')

  await network.pass()
  await eventually('an Encrypt after the outage', async () => {
    return (await plugin.client.encrypt(newSeed())).keyId === wrapped.keyId
  })
  await plugin.waitForHealth('ok')
  t.strictSame(linesSaying(plugin, 'unhealthy'), [])
  await plugin.stop()
}

void test('the second Vault knows neither the token nor the key', async (t) => {
  const other = await KmsVault.start({ bao: await OpenBao.start({ fresh: true }) })
  t.teardown(() => other.stop())
  await surviveOutage(t, other.bao.address)
})

void test('the second Vault accepts the login and has another key of the same name', async (t) => {
  const bao = await OpenBao.start({ fresh: true })
  const other = await KmsVault.start({ bao, accepts: fixture.vault })
  t.teardown(() => other.stop())
  const address = [network.address, bao.address]
  const plugin = await fixture.startHealthy({ address, kms: KMS })
  const wrapped = await plugin.client.encrypt(newSeed())
  const since = bao.auditMark()

  await network.refuse()
  await eventually('a look at the key of the second Vault, after a login there', async () => {
    await plugin.client.encrypt(newSeed()).catch(() => undefined)
    return asked(bao, since, /^transit\/keys\//).length > 0
  })
  t.strictSame(asked(bao, since, /^transit\/encrypt\//), [], 'it is not asked to encrypt')
  t.equal((await plugin.client.status()).healthz, 'ok', 'within the grace')

  await network.pass()
  await eventually('an Encrypt after the outage', async () => {
    return (await plugin.client.encrypt(newSeed())).keyId === wrapped.keyId
  })
  t.strictSame(linesSaying(plugin, 'unhealthy'), [])
  await plugin.stop()
})

/** The requests of the plugin to a Vault that accepted its login. */
function asked(bao: OpenBao, since: AuditMark, path: RegExp): AuditRequest[] {
  return bao
    .auditRequests({ since, path })
    .filter(({ displayName }) => displayName.startsWith('jwt'))
}

fixture.end()
