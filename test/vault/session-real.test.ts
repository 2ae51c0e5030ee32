import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'tap'
import { BridgeError } from '../../src/errors.ts'
import { decodeServiceAccountToken } from '../../src/identity/service-account-token.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { jwtLogin } from '../../src/vault/logins/jwt.ts'
import type { Login } from '../../src/vault/logins/login.ts'
import { tokenLogin } from '../../src/vault/logins/token.ts'
import { createVaultSession } from '../../src/vault/session/session.ts'
import { SkippingClock } from '../fakes/clock.ts'
import { memoryLog } from '../fakes/log.ts'
import { eventually } from '../real/host/eventually.ts'
import { ServiceAccountIssuer } from '../real/cluster/service-account.ts'
import { enableJwtLogin, enableTransit, makeKey, writePolicy } from '../real/vault/transit-setup.ts'
import { soon, startVault } from './real-vault.ts'

const clock = new SkippingClock()
const { bao, client, lookUp, stop } = await startVault({ clock })
after(stop)
const issuer = await ServiceAccountIssuer.create()
await enableTransit(bao)
await makeKey(bao, 'k8s-etcd')
const mayEncrypt = 'path "transit/encrypt/k8s-etcd" { capabilities = ["update"] }'
await writePolicy(bao, 'kms', mayEncrypt)
await enableRole('kms')
await enableRole('batch', { tokenType: 'batch' })

function enableRole(role: string, given: { tokenType?: 'batch' } = {}): Promise<void> {
  return enableJwtLogin(bao, {
    issuer: issuer.issuer,
    publicKeysPem: [issuer.publicKeyPem],
    audience: 'vault',
    policies: ['kms'],
    role,
    ...given,
  })
}

/** The jwt login of a role, and the tokens that it returned. */
function loginAs(role: string): { login: Login; tokens: string[] } {
  const tokens: string[] = []
  const readJwt = async () => decodeServiceAccountToken(await issuer.token(), 'test')
  const jwt = jwtLogin({ client, mount: 'jwt', role, readJwt, clock })
  const login: Login = {
    method: jwt.method,
    async login(context) {
      const grant = await jwt.login(context)
      tokens.push(grant.token.reveal())
      return grant
    },
  }
  return { login, tokens }
}

/** A session that logs in on demand, and a request of it. */
function sessionOf(login: Login) {
  const { log } = memoryLog()
  const session = createVaultSession({
    client,
    login,
    clock,
    log,
    metrics: createKmsMetrics('test'),
  })
  const encrypt = () =>
    session.request(
      {
        operation: 'encrypt',
        method: 'POST',
        path: 'transit/encrypt/k8s-etcd',
        body: { plaintext: Buffer.from('seed').toString('base64') },
      },
      soon(clock),
    )
  return { session, encrypt }
}

function isSealed(answer: unknown): boolean {
  return answer instanceof BridgeError && answer.code === 'VAULT_SEALED'
}

/** How often something was asked of Vault since a place in its audit file. */
function count(since: number, path: string): number {
  return bao.auditRequests({ since, path }).length
}

void test('a session logs in and encrypts', async (t) => {
  const { session, encrypt } = sessionOf(loginAs('kms').login)
  t.match(await encrypt(), { status: 200, body: { data: { ciphertext: /^vault:v1:/ } } })
  t.equal(session.fault, undefined)
  await session.stop(soon(clock))
})

void test('a token that is revoked under the session is replaced within the request', async (t) => {
  const { login, tokens } = loginAs('kms')
  const { session, encrypt } = sessionOf(login)
  await encrypt()
  await bao.api('POST', 'auth/token/revoke', { token: tokens[0] })
  t.match(await encrypt(), { status: 200 }, 'although the token was young')
  t.equal(tokens.length, 2)
  await bao.api('POST', 'auth/token/revoke', { token: tokens[1] })
  await t.rejects(encrypt(), { code: 'VAULT_DENIED' }, 'but not twice within 5 s')
  clock.skip(6_000)
  t.match(await encrypt(), { status: 200 })
  t.equal(tokens.length, 3)
  await session.stop(soon(clock))
})

void test('a renewed session revokes the previous token', async (t) => {
  const { login, tokens } = loginAs('kms')
  const { session, encrypt } = sessionOf(login)
  await encrypt()
  clock.skip(2_800_000)
  await encrypt()
  await eventually(
    'the end of the token',
    async () => (await lookUp(tokens[0] ?? '')) === undefined,
  )
  t.equal(tokens.length, 2)
  t.match(await lookUp(tokens[1] ?? ''), { type: 'service' })
  await session.stop(soon(clock))
})

void test('stop revokes its own token', async (t) => {
  const { login, tokens } = loginAs('kms')
  const { session, encrypt } = sessionOf(login)
  await encrypt()
  t.match(await lookUp(tokens[0] ?? ''), { type: 'service' })
  await session.stop(soon(clock))
  t.equal(await lookUp(tokens[0] ?? ''), undefined)
})

void test('a batch token works and is never revoked', async (t) => {
  const since = bao.auditMark()
  const { login, tokens } = loginAs('batch')
  const { session, encrypt } = sessionOf(login)
  t.match(await encrypt(), { status: 200 })
  clock.skip(2_800_000)
  t.match(await encrypt(), { status: 200 })
  await session.stop(soon(clock))
  t.equal(tokens.length, 2)
  t.equal(count(since, 'auth/token/revoke-self'), 0)
})

void test('a missing policy is a denial without a login storm, and its return is noticed at once', async (t) => {
  const { session, encrypt } = sessionOf(loginAs('kms').login)
  await encrypt()
  clock.skip(6_000)
  await writePolicy(bao, 'kms', 'path "nothing" { capabilities = ["read"] }')
  const since = bao.auditMark()
  const answers = await Promise.allSettled(Array.from({ length: 20 }, encrypt))
  for (const answer of answers) t.match(answer, { reason: { code: 'VAULT_DENIED' } })
  await t.rejects(encrypt(), { code: 'VAULT_DENIED' })
  t.equal(count(since, 'auth/jwt/login'), 1)
  t.equal(session.fault, undefined, 'the token itself is good')
  await writePolicy(bao, 'kms', mayEncrypt)
  t.match(await encrypt(), { status: 200 })
  await session.stop(soon(clock))
})

void test('a missing role is explained, and its return is noticed', async (t) => {
  const { session, encrypt } = sessionOf(loginAs('kms').login)
  await bao.api('DELETE', 'auth/jwt/role/kms')
  await t.rejects(encrypt(), { code: 'LOGIN_REFUSED', message: /"kms" could not be found/ })
  t.equal(session.fault?.code, 'LOGIN_REFUSED')
  await enableRole('kms')
  clock.skip(5_000)
  t.match(await encrypt(), { status: 200 })
  t.equal(session.fault, undefined)
  await session.stop(soon(clock))
})

void test('a started session recovers after Vault was sealed', async (t) => {
  await bao.seal()
  const { session, encrypt } = sessionOf(loginAs('kms').login)
  session.start()
  // A login whose last attempt is still in flight at its deadline ends as VAULT_TIMEOUT; the next one names the seal.
  await eventually('a request and a fault that name the seal', async () => {
    const answer = await encrypt().catch((error: unknown) => error)
    return isSealed(answer) && isSealed(session.fault)
  })
  await bao.unseal()
  await eventually('a healthy session', () => session.fault === undefined)
  t.match(await encrypt(), { status: 200 })
  await session.stop(soon(clock))
})

void test('a periodic token from a file is renewed by the session and not revoked by stop', async (t) => {
  const { auth } = await bao.api('POST', 'auth/token/create', { period: '1h', policies: ['kms'] })
  const tokenFile = join(t.testdir({}), 'token')
  await writeFile(tokenFile, auth.client_token)
  const { session, encrypt } = sessionOf(tokenLogin({ client, tokenFile, clock }))
  await encrypt()
  const since = bao.auditMark()
  clock.skip(2_800_000)
  await encrypt()
  await eventually('a renewal', () => count(since, 'auth/token/renew-self') > 0)
  await session.stop(soon(clock))
  t.match(await lookUp(auth.client_token), { type: 'service' })
})

void test('a revoked token of method token is replaced when its file changes', async (t) => {
  const make = async (): Promise<string> => {
    const { auth } = await bao.api('POST', 'auth/token/create', { ttl: '1h', policies: ['kms'] })
    return auth.client_token
  }
  const tokenFile = join(t.testdir({}), 'token')
  const token = await make()
  await writeFile(tokenFile, token)
  const { session, encrypt } = sessionOf(tokenLogin({ client, tokenFile, clock }))
  await encrypt()
  await bao.api('POST', 'auth/token/revoke', { token })
  clock.skip(6_000)
  await t.rejects(encrypt(), { code: 'LOGIN_REFUSED', message: /write a new token to that file/ })
  await writeFile(tokenFile, await make())
  clock.skip(1_000)
  t.match(await encrypt(), { status: 200 })
  await session.stop(soon(clock))
})
