import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'tap'
import { appRoleLogin } from '../../../src/vault/logins/approle.ts'
import { tempFolder } from '../../real/temp-folder.ts'
import { enableAppRole, newSecretId } from '../../real/transit-setup.ts'
import { soon, startVault } from '../real-vault.ts'
import { refusedMessage } from './refused.ts'

const { bao, client, lookUp, stop } = await startVault()
after(stop)
const ids = await enableAppRole(bao, { role: 'kms', policies: ['default'] })
const folder = tempFolder('approle')
const roleIdFile = join(folder, 'roleId')
const secretIdFile = join(folder, 'secretId')
await writeFile(roleIdFile, `${ids.roleId}\n`)
await writeFile(secretIdFile, `${ids.secretId}\n`)
const approle = appRoleLogin({ client, mount: 'approle', roleIdFile, secretIdFile })

void test('the ids in the files log in', async (t) => {
  const grant = await approle.login(soon())
  t.match(grant, { leaseSeconds: 3600, renewable: true, revocable: true })
  t.match(await lookUp(grant.token.reveal()), { type: 'service' })
})

void test('a destroyed secret id is refused, and another in the file is taken', async (t) => {
  await bao.api('POST', 'auth/approle/role/kms/secret-id/destroy', { secret_id: ids.secretId })
  const message = await refusedMessage(t, approle.login(soon()))
  t.match(message, /^the approle login at auth\/approle was refused: .*invalid role or secret ID/)
  t.match(message, /write a new one to vault.auth.secretIdFile/)
  t.notOk(message.includes(ids.secretId))
  await writeFile(secretIdFile, await newSecretId(bao, { role: 'kms' }))
  t.match(await approle.login(soon()), { leaseSeconds: 3600 })
})

void test('a role id that Vault does not know is refused', async (t) => {
  const wrong = join(t.testdir({ roleId: 'no-such-role-id' }), 'roleId')
  const login = appRoleLogin({ client, mount: 'approle', roleIdFile: wrong, secretIdFile })
  const message = await refusedMessage(t, login.login(soon()))
  t.match(message, /vault.auth.roleIdFile/)
  t.notMatch(message, /no-such-role-id/)
})

void test('a role may need no secret id', async (t) => {
  const login = appRoleLogin({ client, mount: 'approle', roleIdFile })
  t.match(await refusedMessage(t, login.login(soon())), /set vault.auth.secretIdFile/)
  await bao.api('POST', 'auth/approle/role/kms', {
    bind_secret_id: false,
    token_bound_cidrs: ['127.0.0.0/8'],
  })
  t.match(await login.login(soon()), { leaseSeconds: 3600 })
})

void test('a mount that does not exist is refused', async (t) => {
  const login = appRoleLogin({ client, mount: 'absent', roleIdFile, secretIdFile })
  t.match(await refusedMessage(t, login.login(soon())), /vault.auth.mount = absent/)
})

void test('a missing file is told with who should write it', async (t) => {
  const missing = join(folder, 'absent')
  for (const [given, message] of [
    [{ roleIdFile: missing }, /^vault.auth.roleIdFile: .*absent does not exist yet; write the/],
    [{ secretIdFile: missing }, /^vault.auth.secretIdFile: .*absent does not exist yet; write a/],
  ] as const) {
    const options = { client, mount: 'approle', roleIdFile, secretIdFile, ...given }
    await t.rejects(appRoleLogin(options).login(soon()), { code: 'IDENTITY_MISSING', message })
  }
})
