import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'tap'
import { systemClock } from '../../../src/time/clock.ts'
import type { VaultRequest } from '../../../src/vault/client/request.ts'
import { appRoleLogin } from '../../../src/vault/logins/approle.ts'
import { SkippingClock } from '../../fakes/clock.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { enableAppRole, newSecretId } from '../../real/vault/transit-setup.ts'
import { clientFixture } from '../client-fixture.ts'
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
const usual = { client, mount: 'approle', roleIdFile, secretIdFile, clock: systemClock }
const approle = appRoleLogin(usual)
const minute = 60_000

/** A node with its own secret id for the role that all nodes share. */
async function nodeOf(name: string, secretId: string) {
  const file = join(folder, name)
  await writeFile(file, secretId)
  const clock = new SkippingClock()
  const login = appRoleLogin({ ...usual, secretIdFile: file, clock, random: () => 0 })
  return { file, clock, login: () => login.login(soon(clock)) }
}

async function staleSecretId(): Promise<string> {
  const secretId = await newSecretId(bao, { role: 'kms' })
  await bao.api('POST', 'auth/approle/role/kms/secret-id/destroy', { secret_id: secretId })
  return secretId
}

const countLogins = (since: number) =>
  bao.auditRequests({ since, path: 'auth/approle/login' }).length

void test('the ids in the files log in', async (t) => {
  const grant = await approle.login(soon())
  t.match(grant, { leaseSeconds: 3600, maxUses: undefined, renewable: true, revocable: true })
  t.match(await lookUp(grant.token.reveal()), { type: 'service' })
})

void test('a stale secret id on one node does not lock the role for the others', async (t) => {
  const stale = await nodeOf('stale', await staleSecretId())
  const healthy = await nodeOf('healthy', await newSecretId(bao, { role: 'kms' }))
  const since = bao.auditMark()
  for (let tries = 0; tries < 12; tries += 1) {
    await t.rejects(stale.login(), { code: 'LOGIN_REFUSED', message: /for every node/ })
    stale.clock.skip(5_000)
  }
  t.equal(countLogins(since), 1)
  t.match(await healthy.login(), { leaseSeconds: 3600 })
})

void test('a refused secret id is sent again after 20, 40, 80 and then each 120 minutes', async (t) => {
  const stale = await nodeOf('stale', await staleSecretId())
  const message = await refusedMessage(t, stale.login())
  t.match(message, /not sent again before 20\d\d-\d\d-\d\dT[\d:]+Z, unless its file changes$/)
  for (const minutes of [20, 40, 80, 120, 120]) {
    // Between two pauses another node logs in, or Vault would lock the role: its clock does not skip.
    await approle.login(soon())
    const since = bao.auditMark()
    stale.clock.skip((minutes - 1) * minute)
    await refusedMessage(t, stale.login())
    t.equal(countLogins(since), 0, `not before ${minutes} minutes`)
    stale.clock.skip(minute)
    await refusedMessage(t, stale.login())
    t.equal(countLogins(since), 1, `after ${minutes} minutes`)
  }
  await approle.login(soon())
})

void test('another secret id in the file is sent at once', async (t) => {
  const stale = await nodeOf('stale', await staleSecretId())
  const message = await refusedMessage(t, stale.login())
  t.match(message, /^the approle login at auth\/approle was refused: .*invalid role or secret ID/)
  t.match(message, /write a new one to vault.auth.secretIdFile/)
  await writeFile(stale.file, await newSecretId(bao, { role: 'kms' }))
  t.match(await stale.login(), { leaseSeconds: 3600 })
})

void test('a role that is locked is named as a cause, and tried again within a minute or two', async (t) => {
  const { roleId, secretId } = await enableAppRole(bao, { role: 'locked', policies: ['default'] })
  const wrong = { role_id: roleId, secret_id: 'wrong' }
  for (let count = 0; count < 6; count += 1) {
    await bao.request('POST', 'auth/approle/login', wrong, { token: null })
  }
  const lockedRoleId = join(folder, 'lockedRoleId')
  await writeFile(lockedRoleId, roleId)
  await writeFile(join(folder, 'good'), secretId)
  const clock = new SkippingClock()
  const login = appRoleLogin({
    ...usual,
    roleIdFile: lockedRoleId,
    secretIdFile: join(folder, 'good'),
    clock,
  })
  const message = await refusedMessage(t, login.login(soon(clock)))
  t.match(message, /has locked the role \(user lockout, 15 min by default, shared by all nodes/)
  const since = bao.auditMark()
  clock.skip(80_000)
  await refusedMessage(t, login.login(soon(clock)))
  t.equal(countLogins(since), 1)
})

void test('a refused secret id counts once, no matter how many addresses Vault has', async (t) => {
  const addresses = [bao.address, bao.address.replace('127.0.0.1', 'localhost')]
  t.not(addresses[0], addresses[1])
  const { client: several } = clientFixture(t, addresses)
  const { token } = await approle.login(soon())
  const lookUpSelf = { operation: 'lookup_token', method: 'GET', path: 'auth/token/lookup-self' }
  await several.request({ ...lookUpSelf, token } as VaultRequest, soon())
  const file = join(folder, 'several')
  await writeFile(file, await staleSecretId())
  const since = bao.auditMark()
  const login = appRoleLogin({ ...usual, client: several, secretIdFile: file })
  await refusedMessage(t, login.login(soon()))
  t.equal(countLogins(since), 1)
})

void test('a secret id that an address of another cluster rejects at a start goes to the next address at once', async (t) => {
  const foreign = await OpenBao.start({ fresh: true })
  t.teardown(() => foreign.stop())
  await enableAppRole(foreign, { role: 'of-others', policies: ['default'] })
  const { client: several } = clientFixture(t, [foreign.address, bao.address])
  const login = appRoleLogin({ ...usual, client: several })
  for (let count = 0; count < 2; count += 1)
    t.match(await login.login(soon()), { leaseSeconds: 3600 })
  t.equal(foreign.auditRequests({ since: 0, path: 'auth/approle/login' }).length, 1)
})

void test('a secret id that is rejected at a start counts once in its cluster, and in each other one', async (t) => {
  const other = await OpenBao.start({ fresh: true })
  t.teardown(() => other.stop())
  await enableAppRole(other, { role: 'kms', policies: ['default'] })
  const aliased = ({ address }: OpenBao) => [address, address.replace('127.0.0.1', 'localhost')]
  const { client: several } = clientFixture(t, [...aliased(bao), ...aliased(other)])
  const file = join(folder, 'stale-at-start')
  await writeFile(file, await staleSecretId())
  const since = bao.auditMark()
  const login = appRoleLogin({ ...usual, client: several, secretIdFile: file })
  await refusedMessage(t, login.login(soon()))
  t.equal(countLogins(since), 1)
  t.equal(other.auditRequests({ since: 0, path: 'auth/approle/login' }).length, 1)
})

void test('a secret id that is used up is refused once', async (t) => {
  const { data } = await bao.api('POST', 'auth/approle/role/kms/secret-id', { num_uses: 1 })
  const node = await nodeOf('used', data.secret_id)
  await node.login()
  const since = bao.auditMark()
  t.match(await refusedMessage(t, node.login()), /was used up \(secret_id_num_uses\)/)
  node.clock.skip(minute)
  await refusedMessage(t, node.login())
  t.equal(countLogins(since), 1)
})

void test('a role may limit the uses of its tokens', async (t) => {
  const role = { role: 'limited', policies: ['default'] }
  const { roleId, secretId } = await enableAppRole(bao, role)
  await bao.api('POST', 'auth/approle/role/limited', { token_num_uses: 100 })
  const limited = { ...usual, roleIdFile: join(folder, 'r'), secretIdFile: join(folder, 's') }
  await writeFile(limited.roleIdFile, roleId)
  await writeFile(limited.secretIdFile, secretId)
  t.match(await appRoleLogin(limited).login(soon()), { maxUses: 100 })
})

void test('a role id that Vault does not know is refused', async (t) => {
  const wrong = join(t.testdir({ roleId: 'no-such-role-id' }), 'roleId')
  const login = appRoleLogin({ ...usual, roleIdFile: wrong })
  const message = await refusedMessage(t, login.login(soon()))
  t.match(message, /vault.auth.roleIdFile/)
  t.notMatch(message, /no-such-role-id/)
})

void test('a mount that does not exist is refused', async (t) => {
  const login = appRoleLogin({ ...usual, mount: 'absent' })
  t.match(await refusedMessage(t, login.login(soon())), /vault.auth.mount = absent/)
})

void test('a missing file is reported with the program that should write it', async (t) => {
  const missing = join(folder, 'absent')
  for (const [given, message] of [
    [{ roleIdFile: missing }, /^vault.auth.roleIdFile: .*absent does not exist yet; write the/],
    [{ secretIdFile: missing }, /^vault.auth.secretIdFile: .*absent does not exist yet; write a/],
  ] as const) {
    const login = appRoleLogin({ ...usual, ...given })
    await t.rejects(login.login(soon()), { code: 'IDENTITY_MISSING', message })
  }
})
