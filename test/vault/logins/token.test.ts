import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'tap'
import { tokenLogin } from '../../../src/vault/logins/token.ts'
import { systemClock } from '../../../src/time/clock.ts'
import { eventually } from '../../real/host/eventually.ts'
import { soon, startVault } from '../real-vault.ts'
import { refusedMessage } from './refused.ts'

const { bao, client, lookUp, stop } = await startVault()
after(stop)
const make = async (settings: object): Promise<string> => {
  const { auth } = await bao.api('POST', 'auth/token/create', settings)
  return auth.client_token
}
/** A login from a file with this token, and the file. */
const given = async (folder: string, token: string) => {
  const tokenFile = join(folder, 'token')
  await writeFile(tokenFile, `${token}\n`)
  const method = tokenLogin({ client, tokenFile, clock: systemClock })
  return { login: () => method.login(soon()), tokenFile }
}
const operations = (since: number) =>
  bao.auditRequests({ since, path: /^auth\/token\/(renew|lookup)-self$/ }).map(({ path }) => path)

void test('a renewable token is looked up first and renewed afterwards', async (t) => {
  const token = await make({ ttl: '10m' })
  const { login } = await given(t.testdir({}), token)
  const since = bao.auditMark()
  const first = await login()
  t.equal(first.token.reveal(), token)
  t.match(first, { renewable: true, revocable: false })
  t.ok(first.leaseSeconds > 590 && first.leaseSeconds <= 600)
  const second = await login()
  t.equal(second.token.reveal(), token)
  t.match(second, { leaseSeconds: 600, renewable: true, revocable: false })
  t.strictSame(operations(since), ['auth/token/lookup-self', 'auth/token/renew-self'])
})

void test('a periodic token is renewed for its period', async (t) => {
  const { login } = await given(t.testdir({}), await make({ period: '1h' }))
  await login()
  t.match(await login(), { leaseSeconds: 3600, renewable: true })
})

void test('a batch token is never renewed', async (t) => {
  const { login } = await given(
    t.testdir({}),
    await make({ type: 'batch', ttl: '10m', policies: ['default'] }),
  )
  const since = bao.auditMark()
  await login()
  t.match(await login(), { renewable: false, revocable: false })
  t.strictSame(operations(since), ['auth/token/lookup-self', 'auth/token/lookup-self'])
})

void test('a token that ends at its maximum is kept for what is left', async (t) => {
  const token = await make({ ttl: '1m', explicit_max_ttl: '90s' })
  const { login } = await given(t.testdir({}), token)
  await login()
  const { leaseSeconds } = await login()
  t.ok(leaseSeconds > 0 && leaseSeconds <= 90)
})

void test('a token that never expires', async (t) => {
  const { login } = await given(t.testdir({}), bao.rootToken)
  t.match(await login(), { leaseSeconds: Infinity, renewable: false, revocable: false })
})

void test('a token with less than a second left is not one that never expires', async (t) => {
  const leaseSeconds = await eventually('a look in the last second', async () => {
    const { login } = await given(t.testdir({}), await make({ ttl: '1s', renewable: false }))
    for (;;) {
      // Refused: the token expired between two checks, and another one is created.
      const grant = await login()
      if (grant.leaseSeconds !== 1) return grant.leaseSeconds
    }
  })
  t.equal(leaseSeconds, 0)
})

void test('a changed file is used at the next login', async (t) => {
  const { login, tokenFile } = await given(t.testdir({}), await make({ ttl: '10m' }))
  await login()
  const next = await make({ ttl: '20m' })
  await writeFile(tokenFile, next)
  const grant = await login()
  t.equal(grant.token.reveal(), next)
  t.ok(grant.leaseSeconds > 1_100)
})

void test('a revoked token is refused until the file has another', async (t) => {
  const token = await make({ ttl: '10m' })
  const { login, tokenFile } = await given(t.testdir({}), token)
  await login()
  await bao.api('POST', 'auth/token/revoke', { token })
  t.equal(await lookUp(token), undefined)
  const message = await refusedMessage(t, login())
  t.match(message, /^Vault refuses the token in vault.auth.tokenFile \(.*token\): /)
  t.match(
    message,
    /has expired, was revoked or used up, or its policies lack auth\/token\/lookup-self/,
  )
  t.notOk(message.includes(token))
  await writeFile(tokenFile, await make({ ttl: '10m' }))
  t.match(await login(), { renewable: true })
})

void test('a missing file is explained', async (t) => {
  const tokenFile = join(t.testdir({}), 'token')
  await t.rejects(tokenLogin({ client, tokenFile, clock: systemClock }).login(soon()), {
    code: 'IDENTITY_MISSING',
    message: /^vault.auth.tokenFile: .* does not exist yet; write a Vault token to it/,
  })
})

void test('a sealed Vault is an outage and passes through unchanged', async (t) => {
  const { login } = await given(t.testdir({}), await make({ ttl: '10m' }))
  await bao.seal()
  await t.rejects(login(), { code: 'VAULT_SEALED' }, 'looking the token up')
  await bao.unseal()
  t.match(await login(), { renewable: true })
  await bao.seal()
  await t.rejects(login(), { code: 'VAULT_SEALED' }, 'renewing it')
  await bao.unseal()
  t.match(await login(), { leaseSeconds: 600 })
})
