import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { CertificateAuthority } from '../real/pki.ts'
import type { Plugin } from '../real/plugin.ts'
import { tempFolder } from '../real/temp-folder.ts'
import { rememberSecret } from '../real/told-secrets.ts'
import { enableAppRole, enableCertLogin, newSecretId } from '../real/transit-setup.ts'
import { newSeed, outcomeOf, Scene, until } from './scene.ts'

const authority = await CertificateAuthority.create()
const files = await authority.server('vault')
const scene = await Scene.open({ tls: { ...files, clientCaFile: authority.caFile } })
const { bao, world } = scene
const KMS = { refreshInterval: '1s' }
const policies = ['transit-bridge-kms']
const folder = tempFolder('credentials')

/** As whom plugins work now, by the audit file: the name that Vault gives to who logged in. */
async function workedAs(plugin: Plugin, since: number): Promise<string> {
  await plugin.client.encrypt(newSeed())
  return scene.asked(since, /transit\/encrypt/).at(-1)?.displayName ?? 'nobody'
}

/** What a login of each method says is in the log and in the metrics. */
async function loggedInBy(plugin: Plugin, method: string): Promise<boolean> {
  const { text } = await plugin.admin('/metrics')
  return new RegExp(`vault_logins_total\\{method="${method}",outcome="ok"\\} [1-9]`).test(text)
}

void test('jwt: another token in the file is the one of the next login', async (t) => {
  await world.enableLogin({ ttl: '3s' })
  const plugin = await scene.startHealthy({ kms: KMS })
  t.ok(await loggedInBy(plugin, 'jwt'))
  await world.writeToken({ expiresIn: -3600 })
  await plugin.program.waitForLine(/login to Vault failed, the previous token is still in use/)
  t.match(await plugin.client.status(), { healthz: 'ok' }, 'while the previous token works')
  await plugin.waitForHealth(/the token expired/)
  await world.writeToken()
  await plugin.waitForHealth('ok')
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
  const plugin = await scene.startHealthy({ kms: KMS, auth })
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

void test('cert: another client certificate in the files is the one of the next login', async (t) => {
  // A role for each name: Vault takes the one that fits, and names whoever logged in by it.
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
  const plugin = await scene.startHealthy({ kms: KMS, auth })
  t.ok(await loggedInBy(plugin, 'cert'))
  t.equal(await workedAs(plugin, since), 'cert-node-1')
  use(second)
  const isSecond = async () => (await workedAs(plugin, since)) === 'cert-node-2'
  await until('the second certificate', isSecond)
  t.match(await plugin.client.status(), { healthz: 'ok' })
  use(stranger)
  await plugin.waitForHealth(/cert login .* was refused: .*does not match its allowed_\* names/)
  use(first)
  await plugin.waitForHealth('ok')
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
  const plugin = await scene.startHealthy({ kms: KMS, auth: { method: 'token', tokenFile } })
  t.ok(await loggedInBy(plugin, 'token'))
  await bao.api('POST', 'auth/token/revoke', { token: first })
  await plugin.waitForHealth(/Vault refuses the token in vault.auth.tokenFile .*write a new token/)
  const second = await newToken()
  writeFileSync(tokenFile, second)
  await plugin.waitForHealth('ok')
  t.equal(await plugin.stop(), 0)
  const { status } = await bao.request('POST', 'auth/token/lookup', { token: second })
  t.equal(status, 200, 'a token that somebody else made is not revoked at the end')
})

scene.end()
