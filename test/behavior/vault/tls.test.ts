import { execFileSync } from 'node:child_process'
import { closeSync, copyFileSync, openSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { reloadCertificate } from '../../real/vault/served-certificate.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'

const [authority, another] = await Promise.all([
  CertificateAuthority.create('first authority'),
  CertificateAuthority.create('second authority'),
])
const given = await authority.server('vault', { names: ['vault.internal'] })
const folder = tempFolder('tls')
const caFile = join(folder, 'ca.pem')
const certFile = join(folder, 'vault.pem')
const keyFile = join(folder, 'vault.key')
copyFileSync(given.caFile, caFile)
copyFileSync(given.certFile, certFile)
copyFileSync(given.keyFile, keyFile)
const fixture = await Fixture.open({ tls: { certFile, keyFile, caFile } })
const { bao } = fixture
const KMS = { refreshInterval: '1s' }

void test('one TLS handshake for a connection, not for a request', async (t) => {
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({
    address: network.address,
    kms: { refreshInterval: '5m' },
  })
  const before = network.accepted
  for (let call = 0; call < 50; call += 1) {
    await plugin.client.decrypt(await plugin.client.encrypt(newSeed()))
  }
  t.equal(network.accepted, before, 'a hundred requests over the connections that were there')
  t.ok(before <= 2, `${String(before)} connections since the start`)
  await plugin.stop()
})

void test('vault.serverName is the name that the certificate must contain', async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS, vault: { serverName: 'vault.internal' } })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  const wrong = await fixture.start({ kms: KMS, vault: { serverName: 'other.internal' } })
  await wrong.waitForHealth(
    /has a certificate for another name; set vault.serverName to a name in it/,
  )
  await Promise.all([plugin.stop(), wrong.stop()])
})

void test('a certificate of an authority that is not trusted is reported in words', async (t) => {
  const authorities = join(tempFolder('ca'), 'ca.pem')
  copyFileSync(another.caFile, authorities)
  const plugin = await fixture.start({ kms: KMS, vault: { caFile: authorities } })
  const told = /signed by an untrusted authority; set vault.caFile to the certificate/
  await plugin.waitForHealth(told)
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'UNAVAILABLE', message: told })
  copyFileSync(authority.caFile, authorities)
  await plugin.waitForHealth('ok')
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' }, 'fixed in place')
  await plugin.stop()
})

void test('the plugin waits for a CA file that does not exist yet', async (t) => {
  const late = join(tempFolder('ca'), 'ca.pem')
  const plugin = await fixture.start({ kms: KMS, vault: { caFile: late } })
  await plugin.waitForHealth(/vault.caFile/)
  copyFileSync(authority.caFile, late)
  await plugin.waitForHealth('ok')
  t.ok(plugin.program.running)
  await plugin.stop()
})

void test('a CA file that never answers a read is named, and the plugin works once it does', async (t) => {
  const silent = join(tempFolder('ca'), 'ca.pem')
  execFileSync('mkfifo', [silent])
  const plugin = await fixture.start({ kms: KMS, vault: { caFile: silent } })
  await plugin.waitForHealth(/vault.caFile: .*ca.pem (did|still does) not answer a read/)
  // The mount answers again: the read ends, and the next one finds a file.
  const pipe = `${silent}.pipe`
  renameSync(silent, pipe)
  copyFileSync(authority.caFile, silent)
  closeSync(openSync(pipe, 'r+'))
  await plugin.waitForHealth('ok')
  t.ok(plugin.program.running)
  await plugin.stop()
})

void test('http:// to a port that speaks TLS is reported in words', async (t) => {
  const plugin = await fixture.start({ kms: KMS, address: bao.address.replace('https:', 'http:') })
  await plugin.waitForHealth(/responds with TLS; use https:\/\/ in vault.address/)
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'UNAVAILABLE' })
  await plugin.stop()
})

void test('the authority is replaced while the plugin runs', async (t) => {
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({ address: network.address, kms: KMS })
  const kept = await plugin.client.encrypt(newSeed())
  const renewed = await another.server('vault', { names: ['vault.internal'] })
  copyFileSync(renewed.certFile, certFile)
  copyFileSync(renewed.keyFile, keyFile)
  await reloadCertificate(bao, certFile)
  // Connections that exist keep the former certificate.
  await network.refuse()
  await network.pass()
  await plugin.program.waitForLine(/signed by an untrusted authority/)
  t.equal((await plugin.client.status()).healthz, 'ok', 'an outage within its grace')
  copyFileSync(another.caFile, caFile)
  await plugin.waitForHealth('ok')
  t.match(await outcomeOf(plugin.client.decrypt(kept)), { code: 'OK' })
  await plugin.stop()
})

fixture.end()
