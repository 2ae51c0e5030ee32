import { rename } from 'node:fs/promises'
import { after, test } from 'tap'
import { systemClock } from '../../../src/time/clock.ts'
import { certLogin } from '../../../src/vault/logins/cert.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { enableCertLogin } from '../../real/vault/transit-setup.ts'
import { soon, startVault } from '../real-vault.ts'
import { refusedMessage } from './refused.ts'

const ca = await CertificateAuthority.create()
const server = await ca.server()
const node = await ca.client('cp-1')
const { bao, client, lookUp, stop } = await startVault({
  tls: { ...server, clientCaFile: ca.caFile },
  client: { caFile: ca.caFile, clientCertificate: node },
})
after(stop)
await enableKms(['cp-*'])

function enableKms(commonNames: string[]): Promise<void> {
  return enableCertLogin(bao, {
    caPem: ca.caPem,
    role: 'kms',
    policies: ['default'],
    commonNames,
  })
}

function login(role?: string, mount = 'cert') {
  return certLogin({ client, mount, role, certFile: node.certFile, clock: systemClock }).login(
    soon(),
  )
}

void test('the client certificate logs in, with and without a role', async (t) => {
  const grant = await login('kms')
  t.match(grant, { leaseSeconds: 3600, revocable: true })
  t.match(await lookUp(grant.token.reveal()), { type: 'service' })
  t.match(await login(), { leaseSeconds: 3600 })
})

void test('a hook before each login lets the client read its certificate again', async (t) => {
  let hooks = 0
  const beforeLogin = async () => {
    hooks += 1
    await client.refreshTls()
  }
  const cert = certLogin({
    client,
    mount: 'cert',
    role: 'kms',
    certFile: node.certFile,
    clock: systemClock,
    beforeLogin,
  })
  await enableKms(['renewed-*'])
  t.match(await refusedMessage(t, cert.login(soon())), /allowed_\* names/)
  const renewed = await ca.client('renewed-1')
  await rename(renewed.keyFile, node.keyFile)
  await rename(renewed.certFile, node.certFile)
  t.match(await cert.login(soon()), { leaseSeconds: 3600 })
  t.equal(hooks, 2)
})

void test('a role that does not exist is refused', async (t) => {
  const message = await refusedMessage(t, login('absent'))
  t.match(message, /^the cert login at auth\/cert with role "absent" was refused: .*certificate/)
  t.match(message, /check vault.auth.certFile/)
})

void test('a mount that does not exist is refused', async (t) => {
  t.match(await refusedMessage(t, login('kms', 'absent')), /vault.auth.mount = absent/)
})

void test('a login without a certificate is refused with what to do', async (t) => {
  const bare = await startVault({ tls: server, client: { caFile: ca.caFile } })
  t.after(bare.stop)
  await enableCertLogin(bare.bao, { caPem: ca.caPem, policies: ['default'] })
  const refused = certLogin({
    client: bare.client,
    mount: 'cert',
    certFile: node.certFile,
    clock: systemClock,
  }).login(soon())
  t.match(await refusedMessage(t, refused), /Vault received no client certificate/)
})
