import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { after, test } from 'tap'
import { systemClock } from '../../../src/time/clock.ts'
import { decodeServiceAccountToken } from '../../../src/identity/service-account-token.ts'
import { identityFromFile } from '../../../src/identity/identity-source.ts'
import { readServiceAccountToken } from '../../../src/identity/token-file.ts'
import { createKmsMetrics } from '../../../src/telemetry/metrics/roles.ts'
import { jwtLogin } from '../../../src/vault/logins/jwt.ts'
import { SkippingClock } from '../../fakes/clock.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { addLenientJwtRole, enableJwtLogin } from '../../real/vault/transit-setup.ts'
import { soon, startVault } from '../real-vault.ts'
import { refusedMessage } from './refused.ts'

const subject = 'system:serviceaccount:kube-system:transit-bridge'
const account = { namespace: 'kube-system', name: 'transit-bridge' }

const { bao, client, lookUp, stop } = await startVault()
after(stop)
const issuer = await ServiceAccountIssuer.create()
const common = {
  issuer: issuer.issuer,
  publicKeysPem: [issuer.publicKeyPem],
  audience: 'vault',
  subject,
  policies: ['default'],
}
await enableJwtLogin(bao, { ...common, role: 'kms' })
await enableJwtLogin(bao, { ...common, role: 'batch', tokenType: 'batch', ttl: '10m' })
const login = (jwt: string, options: { role?: string; mount?: string } = {}) =>
  jwtLogin({
    client,
    clock: systemClock,
    mount: 'jwt',
    role: 'kms',
    readJwt: async () => decodeServiceAccountToken(jwt, 'test'),
    ...options,
  }).login(soon())

void test('a good token logs in', async (t) => {
  const grant = await login(await issuer.token(account))
  t.match(grant, { leaseSeconds: 3600, renewable: true, revocable: true })
  t.match(await lookUp(grant.token.reveal()), { type: 'service' })
  t.ok(grant.accessor)
})

void test('a role may return batch tokens, which are not ours to revoke', async (t) => {
  const grant = await login(await issuer.token(account), { role: 'batch' })
  t.match(grant, { leaseSeconds: 600, renewable: false, revocable: false })
  t.match(await lookUp(grant.token.reveal()), { type: 'batch' })
  t.equal(grant.accessor, undefined)
})

void test('the token is read again for each login', async (t) => {
  const file = join(t.testdir({}), 'token')
  const method = jwtLogin({
    client,
    clock: systemClock,
    mount: 'jwt',
    role: 'kms',
    readJwt: () => readServiceAccountToken(file),
  })
  await t.rejects(method.login(soon()), { code: 'IDENTITY_MISSING' })
  await writeFile(file, await issuer.token({ ...account, expiresIn: -7200 }))
  await t.rejects(method.login(soon()), { code: 'LOGIN_REFUSED' })
  await writeFile(file, await issuer.token(account))
  t.match(await method.login(soon()), { leaseSeconds: 3600 })
})

void test("a token that has expired by this host's clock logs in if Vault accepts it", async (t) => {
  const file = join(t.testdir({}), 'token')
  const slow = new SkippingClock()
  slow.skip(2 * 24 * 3600_000)
  await addLenientJwtRole(bao, 'lenient', common.policies)
  const wrongClock = identityFromFile({
    file,
    expectations: { audience: 'vault' },
    clock: slow,
    metrics: createKmsMetrics('test'),
  })
  const cases = [
    ['kms', await issuer.token(account), "this host's clock is wrong"],
    ['lenient', await issuer.token({ ...account, expiresIn: -600 }), 'the role allows leeway'],
  ] as const
  for (const [role, jwt, why] of cases) {
    await writeFile(file, jwt)
    const options = { client, clock: slow, mount: 'jwt', role, readJwt: wrongClock }
    const grant = await jwtLogin(options).login(soon(slow))
    t.equal(grant.leaseSeconds, 3600, why)
  }
})

void test('a JWT-SVID logs in: no issuer, no Kubernetes claims', async (t) => {
  const spire = await ServiceAccountIssuer.create()
  await bao.api('POST', 'sys/auth/spire', { type: 'jwt' })
  await bao.api('POST', 'auth/spire/config', { jwt_validation_pubkeys: [spire.publicKeyPem] })
  await bao.api('POST', 'auth/spire/role/kms', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    bound_subject: 'spiffe://example.org/transit-bridge-kms',
    token_ttl: 3600,
  })
  const svid = (sub: string) =>
    spire.token({ claims: { sub, iss: undefined, jti: undefined, 'kubernetes.io': undefined } })
  const place = { role: 'kms', mount: 'spire' }
  const grant = await login(await svid('spiffe://example.org/transit-bridge-kms'), place)
  t.equal(grant.leaseSeconds, 3600)
  const other = login(await svid('spiffe://example.org/other'), place)
  t.match(await refusedMessage(t, other), /no issuer, subject "spiffe:\/\/example.org\/other"/)
})

const stranger = await ServiceAccountIssuer.create(issuer.issuer)
const cases: [string, () => Promise<string>, object, RegExp[]][] = [
  [
    'a role that does not exist',
    () => issuer.token(account),
    { role: 'absent' },
    [
      /^the jwt login at auth\/jwt with role "absent" was refused: /,
      /role "absent" could not be found/,
      /create that role in Vault or correct vault.auth.role/,
    ],
  ],
  [
    'another audience',
    () => issuer.token({ ...account, audience: 'other' }),
    {},
    [
      /make bound_audiences of auth\/jwt\/role\/kms the same as .*vault.auth.audience/,
      /audience "other"/,
    ],
  ],
  [
    'another issuer',
    () => issuer.token({ ...account, claims: { iss: 'https://other' } }),
    {},
    [/set bound_issuer in auth\/jwt\/config to/, /issuer "https:\/\/other"/],
  ],
  [
    'another service account',
    () => issuer.token({ ...account, name: 'other' }),
    {},
    [/bound_subject/, /subject "system:serviceaccount:kube-system:other"/],
  ],
  [
    'an expired token',
    () => issuer.token({ ...account, expiresIn: -7200 }),
    {},
    [/the program that refreshes the token's file has stopped/, /expired 2 h ago/],
  ],
  [
    'a token that is not valid yet',
    () => issuer.token({ ...account, claims: { nbf: Math.floor(Date.now() / 1000) + 3600 } }),
    {},
    [/the clock of Vault or of this host is wrong/],
  ],
  [
    'a token that another key signed',
    () => stranger.token(account),
    {},
    [/does not have the public key that signed this token/, /expires in 59 min/],
  ],
  [
    'a mount that does not exist',
    () => issuer.token(account),
    { mount: 'team/jwt' },
    [/a jwt method is enabled at vault.auth.mount = team\/jwt/],
  ],
]
for (const [name, token, options, messages] of cases) {
  void test(`${name} is refused with what to do`, async (t) => {
    const jwt = await token()
    const message = await refusedMessage(t, login(jwt, options))
    for (const part of messages) t.match(message, part)
    t.notOk(message.includes(jwt))
  })
}

void test('a sealed Vault is an outage and passes through unchanged', async (t) => {
  await bao.seal()
  t.teardown(() => bao.unseal())
  await t.rejects(login(await issuer.token(account)), { code: 'VAULT_SEALED' })
})
