import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { CertificateAuthority } from '../../real/host/pki.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { rememberSecret } from '../../real/program/told-secrets.ts'
import {
  addLenientJwtRole,
  enableAppRole,
  enableCertLogin,
  newSecretId,
} from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const authority = await CertificateAuthority.create()
const files = await authority.server('vault')
const fixture = await Fixture.open({ tls: { ...files, clientCaFile: authority.caFile } })
const { bao, vault } = fixture
const KMS = { refreshInterval: '1s' }
const policies = ['transit-bridge-kms']
const folder = tempFolder('credentials')

/** The identity that plugins work with now, by the audit file: the name that Vault gives to a login. */
async function workedAs(plugin: Plugin, since: number): Promise<string> {
  await plugin.client.encrypt(newSeed())
  return fixture.asked(since, /transit\/encrypt/).at(-1)?.displayName ?? 'nobody'
}

/** A login of each method is in the log and in the metrics. */
async function loggedInBy(plugin: Plugin, method: string): Promise<boolean> {
  const { text } = await plugin.admin('/metrics')
  return new RegExp(`vault_logins_total\\{method="${method}",outcome="ok"\\} [1-9]`).test(text)
}

/** Waits for one more login. */
async function anotherLogin(plugin: Plugin, method: string): Promise<void> {
  const pattern = new RegExp(`vault_logins_total\\{method="${method}",outcome="ok"\\} (\\d+)`)
  const count = async () => Number(pattern.exec((await plugin.admin('/metrics')).text)?.[1] ?? 0)
  const before = await count()
  await eventually('another login', async () => (await count()) > before)
}

void test('jwt: another token in the file is the one of the next login', async (t) => {
  await vault.enableLogin({ ttl: '3s' })
  const plugin = await fixture.startHealthy({ kms: KMS })
  t.ok(await loggedInBy(plugin, 'jwt'))
  await vault.writeToken({ expiresIn: -3600 })
  await plugin.program.waitForLine(/login to Vault failed, the previous token is still in use/)
  t.match(await plugin.client.status(), { healthz: 'ok' }, 'while the previous token works')
  await plugin.waitForHealth(/the token expired/)
  await vault.writeToken()
  await plugin.waitForHealth('ok')
  await plugin.stop()
})

void test("jwt: a token that has expired by this host's clock logs in if Vault accepts it", async (t) => {
  await addLenientJwtRole(bao, 'lenient', policies)
  t.teardown(() => vault.writeToken())
  await vault.writeToken({ expiresIn: -600 })
  const plugin = await fixture.startHealthy({ kms: KMS, auth: { role: 'lenient' } })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  await plugin.stop()
})

void test('approle: another secret id in the file is the one of the next login', async (t) => {
  const { roleId, secretId } = await enableAppRole(bao, { policies, ttl: '3s' })
  rememberSecret(secretId)
  const roleIdFile = join(folder, 'role-id')
  const secretIdFile = join(folder, 'secret-id')
  writeFileSync(roleIdFile, `${roleId}\n`)
  writeFileSync(secretIdFile, `${secretId}\n`)
  const auth = { method: 'approle', roleIdFile, secretIdFile }
  const plugin = await fixture.startHealthy({ kms: KMS, auth })
  t.ok(await loggedInBy(plugin, 'approle'))
  await bao.api('POST', 'auth/approle/role/transit-bridge-kms/secret-id/destroy', {
    secret_id: secretId,
  })
  await plugin.waitForHealth(/approle login .* was refused: .*write a new one to .*secretIdFile/)
  const next = await newSecretId(bao)
  rememberSecret(next)
  writeFileSync(secretIdFile, next)
  await plugin.waitForHealth('ok')
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  await plugin.stop()
})

void test('approle: a stale secret id is sent once, or Vault would lock the role for every node', async (t) => {
  const role = { role: 'shared', policies }
  const { roleId, secretId } = await enableAppRole(bao, role)
  rememberSecret(secretId)
  await bao.api('POST', 'auth/approle/role/shared/secret-id/destroy', { secret_id: secretId })
  const roleIdFile = join(folder, 'shared-role-id')
  const secretIdFile = join(folder, 'stale-secret-id')
  writeFileSync(roleIdFile, roleId)
  writeFileSync(secretIdFile, secretId)
  const since = bao.auditMark()
  const auth = { method: 'approle', roleIdFile, secretIdFile }
  const stale = await fixture.start({ kms: KMS, auth })
  await stale.waitForHealth(/approle login .* was refused/)
  // Another node logs in every few seconds; meanwhile the stale one needs a token for every call.
  const other = await fixture.startHealthy({ kms: KMS })
  for (let count = 0; count < 4; count += 1) {
    await anotherLogin(other, 'jwt')
    t.match(await outcomeOf(stale.client.encrypt(newSeed())), { message: /was refused/ })
  }
  t.equal(bao.auditRequests({ since, path: 'auth/approle/login' }).length, 1)
  await Promise.all([stale.stop(), other.stop()])
})

void test('cert: another client certificate in the files is the one of the next login', async (t) => {
  // A role for each name: Vault uses the one that matches, and names the identity after it.
  for (const role of ['node-1', 'node-2']) {
    const { caPem } = authority
    await enableCertLogin(bao, { policies, ttl: '3s', caPem, role, commonNames: [role] })
  }
  const [first, second, stranger] = [
    await authority.client('node-1'),
    await authority.client('node-2'),
    await authority.client('stranger'),
  ]
  const certFile = join(folder, 'client.pem')
  const keyFile = join(folder, 'client.key')
  const use = (pair: { certFile: string; keyFile: string }) => {
    copyFileSync(pair.keyFile, keyFile)
    copyFileSync(pair.certFile, certFile)
  }
  use(first)
  const auth = { method: 'cert', certFile, keyFile }
  const since = bao.auditMark()
  const plugin = await fixture.startHealthy({ kms: KMS, auth })
  t.ok(await loggedInBy(plugin, 'cert'))
  t.equal(await workedAs(plugin, since), 'cert-node-1')
  use(second)
  const isSecond = async () => (await workedAs(plugin, since)) === 'cert-node-2'
  await eventually('the second certificate', isSecond)
  t.match(await plugin.client.status(), { healthz: 'ok' })
  use(stranger)
  await plugin.waitForHealth(/cert login .* was refused: .*does not match its allowed_\* names/)
  use(first)
  await plugin.waitForHealth('ok')
  await plugin.stop()
})

void test('cert: an X.509-SVID is replaced while the plugin runs, as two files and as one bundle', async (t) => {
  const id = (node: string) => `spiffe://example.org/kms/${node}`
  for (const node of ['svid-1', 'svid-2']) {
    await bao.api('POST', `auth/cert/certs/${node}`, {
      certificate: authority.caPem,
      allowed_uri_sans: `${id(node)}*`,
      token_policies: policies,
      token_ttl: '3s',
    })
  }
  const [first, second, nameless] = [
    await authority.svid(id('svid-1'), 'kms'),
    await authority.svid(id('svid-2'), 'kms'),
    await authority.svid(id('svid-2/nameless')),
  ]
  const certFile = join(folder, 'svid.pem')
  const keyFile = join(folder, 'svid_key.pem')
  const bundle = join(folder, 'credentialbundle.pem')
  const use = ({ certFile: cert, keyFile: key }: { certFile: string; keyFile: string }) => {
    // Not in one step: for a moment the key does not match the certificate.
    copyFileSync(cert, certFile)
    copyFileSync(key, keyFile)
    writeFileSync(bundle, readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'))
  }
  use(first)
  const plugins = [
    await fixture.startHealthy({ kms: KMS, auth: { method: 'cert', certFile, keyFile } }),
    await fixture.startHealthy({
      kms: KMS,
      auth: { method: 'cert', certFile: bundle, keyFile: bundle },
    }),
  ]
  use(second)
  for (const plugin of plugins) await anotherLogin(plugin, 'cert')
  await bao.api('DELETE', 'auth/cert/certs/svid-1')
  for (const plugin of plugins) {
    await anotherLogin(plugin, 'cert')
    t.match(await plugin.client.status(), { healthz: 'ok' })
  }
  use(nameless)
  for (const plugin of plugins) {
    await plugin.program.waitForLine(/missing name in alias .*; .*set a DNS name on the entry/)
    await plugin.stop()
  }
})

void test('jwt: a JWT-SVID is replaced while the plugin runs', async (t) => {
  const spire = await ServiceAccountIssuer.create()
  const subject = 'spiffe://example.org/kms'
  await bao.api('POST', 'sys/auth/spire', { type: 'jwt' })
  await bao.api('POST', 'auth/spire/config', { jwt_validation_pubkeys: [spire.publicKeyPem] })
  await bao.api('POST', 'auth/spire/role/kms', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_subject: subject,
    token_policies: policies,
    token_ttl: '3s',
  })
  const tokenFile = join(folder, 'svid.jwt')
  const write = async (expiresIn: number) => {
    const claims = { sub: subject, iss: undefined, 'kubernetes.io': undefined }
    writeFileSync(tokenFile, await spire.token({ expiresIn, claims }))
  }
  await write(300)
  const auth = { method: 'jwt', mount: 'spire', role: 'kms', tokenFile, audience: 'vault' }
  const plugin = await fixture.startHealthy({ kms: KMS, auth })
  await write(-600)
  await plugin.waitForHealth(/was refused: .*the token expired at .*no issuer, subject "spiffe:/)
  await write(300)
  await plugin.waitForHealth('ok')
  await anotherLogin(plugin, 'jwt')
  t.match(await plugin.client.status(), { healthz: 'ok' })
  await plugin.stop()
})

void test('approle: a token with few uses is replaced before they are spent', async (t) => {
  const role = { role: 'limited', policies }
  const { roleId, secretId } = await enableAppRole(bao, role)
  rememberSecret(secretId)
  await bao.api('POST', 'auth/approle/role/limited', { token_num_uses: 20 })
  const roleIdFile = join(folder, 'limited-role-id')
  const secretIdFile = join(folder, 'limited-secret-id')
  writeFileSync(roleIdFile, roleId)
  writeFileSync(secretIdFile, secretId)
  const auth = { method: 'approle', roleIdFile, secretIdFile }
  const plugin = await fixture.startHealthy({ kms: KMS, auth })
  const outcomes = new Set<string>()
  for (let call = 0; call < 200; call += 1) {
    outcomes.add((await outcomeOf(plugin.client.encrypt(newSeed()))).code)
  }
  t.strictSame([...outcomes], ['OK'])
  t.match(await plugin.client.status(), { healthz: 'ok' })
  await plugin.program.waitForLine(/only 20 requests with each token.*token_num_uses=0/)
  await plugin.stop()
})

void test('token: another token in the file takes the place of one that was revoked', async (t) => {
  const newToken = async () => {
    const { auth } = await bao.api('POST', 'auth/token/create', { policies, ttl: '1h' })
    return String(auth.client_token)
  }
  const tokenFile = join(folder, 'vault-token')
  const first = await newToken()
  writeFileSync(tokenFile, first)
  const plugin = await fixture.startHealthy({ kms: KMS, auth: { method: 'token', tokenFile } })
  t.ok(await loggedInBy(plugin, 'token'))
  await bao.api('POST', 'auth/token/revoke', { token: first })
  await plugin.waitForHealth(/Vault refuses the token in vault.auth.tokenFile .*write a new token/)
  const second = await newToken()
  writeFileSync(tokenFile, second)
  await plugin.waitForHealth('ok')
  t.equal(await plugin.stop(), 0)
  const { status } = await bao.request('POST', 'auth/token/lookup', { token: second })
  t.equal(status, 200, 'a token that another program made is not revoked at the end')
})

fixture.end()
