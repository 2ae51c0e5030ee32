import { test } from 'tap'
import { KEY, ROLE } from '../../real/vault/kms-vault.ts'
import { renderPolicy } from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'

const fixture = await Fixture.open()
const { bao, vault } = fixture
const KMS = { refreshInterval: '1s' }

/** Makes Transit, the key and the policy in a namespace. */
async function setUpTransit(namespace: string): Promise<void> {
  const within = { namespace }
  await bao.api('POST', 'sys/mounts/transit', { type: 'transit' }, within)
  await bao.api('POST', `transit/keys/${KEY}`, {}, within)
}

/** Lets the plugin log in to a namespace. */
async function setUpLogin(namespace: string): Promise<void> {
  const within = { namespace }
  const { issuer, publicKeysPem, audience, policies } = vault.jwtLogin()
  const policy = await renderPolicy('kms.hcl')
  await bao.api('PUT', `sys/policies/acl/${policies[0] ?? ''}`, { policy }, within)
  await bao.api('POST', 'sys/auth/jwt', { type: 'jwt' }, within)
  const keys = { jwt_validation_pubkeys: publicKeysPem, bound_issuer: issuer }
  await bao.api('POST', 'auth/jwt/config', keys, within)
  const role = {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: [audience],
    token_policies: policies,
  }
  await bao.api('POST', `auth/jwt/role/${ROLE}`, role, within)
}

void test('a missing namespace is explained, and used once it exists', async (t) => {
  const plugin = await fixture.start({ kms: KMS, vault: { namespace: 'team-a' } })
  await plugin.waitForHealth(
    /jwt login .* was refused: .*namespace not found .*check that .* vault\.namespace is right/,
  )
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'PERMISSION_DENIED' })
  await bao.api('POST', 'sys/namespaces/team-a', {})
  await setUpLogin('team-a')
  await setUpTransit('team-a')
  await plugin.waitForHealth('ok')

  const since = bao.auditMark()
  const plaintext = newSeed()
  t.same(await plugin.client.decrypt(await plugin.client.encrypt(plaintext)), plaintext)
  const namespaces = fixture.asked(since).map(({ namespace }) => namespace)
  t.ok(namespaces.length >= 2)
  t.ok(namespaces.every((namespace) => namespace === 'team-a/'))
  await plugin.stop()
})

void test('data of the key of that name in another namespace is refused', async (t) => {
  const inside = await fixture.startHealthy({ kms: KMS, vault: { namespace: 'team-a' } })
  const outside = await fixture.startHealthy({ kms: KMS })
  const wrapped = await inside.client.encrypt(newSeed())
  // By the key id; or by Transit, when both keys were made within one second and have the same one.
  const codes = /^(FAILED_PRECONDITION|INVALID_ARGUMENT)$/
  t.match(await outcomeOf(outside.client.decrypt(wrapped)), { code: codes })
  await Promise.all([inside.stop(), outside.stop()])
})

void test('vault.auth.namespace: the login in one namespace, the key in another below it', async (t) => {
  await bao.api('POST', 'sys/namespaces/team-b', {})
  await setUpTransit('team-b')
  await vault.writePolicy(await renderPolicy('kms.hcl', { mount: 'team-b/transit' }))
  const plugin = await fixture.startHealthy({
    kms: KMS,
    vault: { namespace: 'team-b' },
    auth: { namespace: 'root' },
  })
  const since = bao.auditMark()
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  t.match(fixture.asked(since, /encrypt/), [{ namespace: 'team-b/' }])
  await plugin.stop()
})

fixture.end()
