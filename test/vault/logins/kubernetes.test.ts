import { test } from 'tap'
import { decodeServiceAccountToken } from '../../../src/identity/service-account-token.ts'
import { kubernetesLogin } from '../../../src/vault/logins/kubernetes.ts'
import type { LoginSettingNames } from '../../../src/vault/logins/login.ts'
import { HandClock, settle } from '../../fakes/clock.ts'
import { ScriptedVault } from '../../fakes/scripted-vault.ts'
import { projectedPayload, unsigned } from '../../identity/claims.ts'
import { refusedMessage } from './refused.ts'

const jwt = unsigned(projectedPayload)

/** A login that has asked the scripted Vault; the real one with a real API server is in test/e2e. */
async function begin(options: { settings?: LoginSettingNames } = {}) {
  const vault = new ScriptedVault()
  const login = kubernetesLogin({
    client: vault,
    mount: 'k8s/prod eu',
    role: 'kms',
    clock: new HandClock(),
    readJwt: async () => decodeServiceAccountToken(jwt, 'test'),
    ...options,
  }).login({ deadline: 1_000 })
  await settle()
  return { call: vault.call(0), login }
}

void test('role and JWT are posted to the mount, its segments encoded', async (t) => {
  const { call, login } = await begin()
  t.strictSame(call.given, {
    operation: 'login',
    method: 'POST',
    path: 'auth/k8s/prod%20eu/login',
    body: { role: 'kms', jwt },
  })
  t.strictSame(call.context, { deadline: 1_000 })
  const auth = { client_token: 's.x', lease_duration: 600, renewable: true, token_type: 'service' }
  await call.answer({ status: 200, body: { auth } })
  t.match(await login, { leaseSeconds: 600, revocable: true })
})

void test('each refusal names what to change', async (t) => {
  const cases: ['VAULT_REJECTED' | 'VAULT_DENIED' | 'VAULT_NOT_FOUND', string, RegExp][] = [
    [
      'VAULT_REJECTED',
      'invalid role name "kms"',
      /create that role in Vault or correct vault.auth.role/,
    ],
    [
      'VAULT_DENIED',
      'service account name not authorized',
      /to bound_service_account_names of auth\/k8s\/prod eu\/role\/kms; .*subject "system:serviceaccount:kube-system:transit-bridge"/,
    ],
    ['VAULT_DENIED', 'namespace not authorized', /to bound_service_account_namespaces of/],
    [
      'VAULT_DENIED',
      'invalid audience (aud) claim',
      /the same as the token's audience \(vault.auth.audience\)/,
    ],
    ['VAULT_DENIED', 'permission denied', /its TokenReview failed: check that kubernetes_host/],
    [
      'VAULT_DENIED',
      'permission denied',
      /; without token_reviewer_jwt in auth\/k8s\/prod eu\/config, Vault presents this token itself to the API server, which refuses audience "vault"/,
    ],
    ['VAULT_NOT_FOUND', 'no handler for route "auth/x"', /a kubernetes method is enabled at/],
  ]
  for (const [code, words, advice] of cases) {
    const { call, login } = await begin()
    const refused = refusedMessage(t, login)
    await call.fail(code, `vault at http://v:8200 denies login: ${words} (status 400)`)
    const message = await refused
    t.match(message, /^the kubernetes login at auth\/k8s\/prod eu with role "kms" was refused: /)
    t.match(message, advice)
    t.match(message, /expires in 60 min; the same credential is not sent again before/)
    t.notOk(message.includes(jwt))
  }
})

void test('an unknown message is passed on with the claims of the token', async (t) => {
  const { call, login } = await begin()
  const refused = refusedMessage(t, login)
  await call.fail('VAULT_REJECTED', 'vault at http://v:8200 rejects login: something\n\tnew')
  t.match(await refused, /rejects login: something new; the token has issuer/)
})

void test('the settings may have other names', async (t) => {
  const settings = {
    mount: 'csi.auth.mount',
    role: 'the class parameter role',
    audience: 'csi.audience',
    expiryAdvice: '',
    namespaceAdvice: 'in Vault namespace team-a',
  }
  const { call, login } = await begin({ settings })
  const refused = refusedMessage(t, login)
  await call.fail('VAULT_REJECTED', 'invalid role name "kms"')
  t.match(await refused, /or correct the class parameter role/)
})

void test('an error that is not a refusal passes through unchanged', async (t) => {
  const codes = ['VAULT_UNREACHABLE', 'VAULT_SEALED', 'VAULT_TLS_INVALID', 'CANCELLED'] as const
  for (const code of codes) {
    const { call, login } = await begin()
    const rejected = t.rejects(login, { code, message: `scripted ${code}` })
    await call.fail(code)
    await rejected
  }
})

void test('a response that is not a login is rejected without repeating it', async (t) => {
  const auth = { client_token: 'hvs.secret', lease_duration: 600, renewable: true }
  const bodies: [string, unknown][] = [
    ['no body', undefined],
    ['no auth', { data: {} }],
    ['auth is null', { auth: null }],
    ['no token', { auth: { ...auth, client_token: undefined } }],
    ['an empty token', { auth: { ...auth, client_token: '' } }],
    ['a lease as text', { auth: { ...auth, lease_duration: '600' } }],
    ['a lease below 0', { auth: { ...auth, lease_duration: -1 } }],
  ]
  for (const [name, body] of bodies) {
    const { call, login } = await begin()
    const rejected = t.rejects(login, { code: 'VAULT_ANSWER_INVALID', cause: undefined }, name)
    await call.answer({ status: 200, body })
    await rejected
  }
})

void test('a batch token is recognized by its type, or by its prefix if no type is returned', async (t) => {
  const cases: [object, boolean][] = [
    [{ client_token: 'hvs.x', token_type: 'service' }, true],
    [{ client_token: 'hvb.x', token_type: 'batch' }, false],
    [{ client_token: 'hvb.x' }, false],
    [{ client_token: 'b.x' }, false],
    [{ client_token: 's.x' }, true],
  ]
  for (const [given, revocable] of cases) {
    const { call, login } = await begin()
    await call.answer({ status: 200, body: { auth: { lease_duration: 1, ...given } } })
    t.match(await login, { revocable }, JSON.stringify(given))
  }
})
