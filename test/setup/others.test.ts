import { join } from 'node:path'
import { Writable } from 'node:stream'
import { test } from 'tap'

import { runSetup } from '../../src/commands/setup/setup.ts'
import { planKubernetesConfig } from '../../src/setup/kubernetes-part.ts'
import { compareRole } from '../../src/setup/role-difference.ts'
import { ServiceAccountIssuer } from '../real/cluster/service-account.ts'
import { HttpProxy } from '../real/faults/http-proxy.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { SetupFixture } from './fixture.ts'

const ROLE = 'role/transit-bridge-kms'
const POLICY = 'sys/policies/acl/transit-bridge-kms'

void test('a method with the keys of another cluster is not shared, though the issuer is the same', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const before = (await fixture.bao.api('GET', 'auth/jwt/config')).data
  const { publicKeyPem } = await ServiceAccountIssuer.create()
  const second = fixture.write('second.pub', publicKeyPem)
  const keys = ['--service-account-key', second, '--issuer', fixture.issuer.issuer, '--yes']
  t.match(await fixture.bare(keys), {
    code: 1,
    stdout:
      /stop: auth\/jwt\/ trusts public keys that the cluster does not publish .*another mount/,
  })
  t.strictSame((await fixture.bao.api('GET', 'auth/jwt/config')).data, before)

  const pubkeys = [fixture.issuer.publicKeyPem, publicKeyPem]
  await fixture.bao.api('POST', 'auth/jwt/config', { jwt_validation_pubkeys: pubkeys })
  const open = await fixture.setup(['--yes'])
  t.match(open, { code: 1, stdout: /stop: / }, 'an issuer would end the logins of the others')
})

void test('a role of others is neither changed nor removed, no matter what it is bound by', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const audience = { user_claim: 'sub', bound_audiences: ['vault'] }
  const roles = [
    { ...audience, role_type: 'oidc', allowed_redirect_uris: ['https://x/'] },
    { ...audience, role_type: 'jwt', bound_claims: { team: 'a' } },
  ]
  for (const role of roles) {
    await fixture.bao.api('DELETE', `auth/jwt/${ROLE}`)
    await fixture.bao.api('POST', `auth/jwt/${ROLE}`, role)
    const before = (await fixture.bao.api('GET', `auth/jwt/${ROLE}`)).data
    t.match(await fixture.setup(['--yes']), { code: 1, stdout: /stop: role .* is for / })
    t.match(await fixture.bare(['--remove', '--yes']), { stdout: /note: role .* and stays/ })
    t.strictSame((await fixture.bao.api('GET', `auth/jwt/${ROLE}`)).data, before)
  }
})

void test('a kubernetes role of another service account is neither changed nor removed', async (t) => {
  const fixture = await SetupFixture.start(t)
  fixture.configure({ auth: '{method: kubernetes, role: transit-bridge-kms, tokenFile: /token}' })
  const { caPem } = await CertificateAuthority.create()
  const ca = ['--kubernetes-ca', fixture.write('ca.pem', caPem), '--no-reviewer-token', '--yes']
  const all = [...ca, '--kubernetes-host', 'https://10.0.0.1:6443']
  t.equal((await fixture.bare(all)).code, 0)
  const role = {
    bound_service_account_names: ['web'],
    bound_service_account_namespaces: ['shop'],
    audience: 'vault',
    token_policies: ['shop'],
  }
  await fixture.bao.api('POST', `auth/kubernetes/${ROLE}`, role)
  const words = /role .* is for the service accounts web of the namespaces shop/
  t.match(await fixture.bare(all), { code: 1, stdout: words })
  t.match(await fixture.bare(['--remove', '--yes']), { stdout: words })
  t.match((await fixture.bao.api('GET', `auth/kubernetes/${ROLE}`)).data, role)
})

void test('a field that setup does not know stops it if it has a value, regardless of its name', async (t) => {
  const wanted = { bound_audiences: ['vault'] }
  const found = { ...wanted, admit_anyone: true, other: '', none: null, empty: [] }
  t.match(compareRole(found, wanted), { unknown: ['admit_anyone'], details: [] })
  t.match(compareRole({ ...wanted, groups_claim: 'groups' }, wanted), {
    body: { groups_claim: '' },
    wider: ['groups_claim is "groups"'],
  })
  const login = {
    method: 'kubernetes',
    mount: 'kubernetes',
    setting: 'vault.auth.mount',
    role: 'x',
    audience: 'vault',
    serviceAccount: { namespace: 'a', name: 'b' },
    host: 'https://10.0.0.1',
    ca: 'new',
    reviewer: { kind: 'login' },
  } as const
  // No Vault has such a setting today.
  const config = {
    kubernetes_host: 'https://10.0.0.1',
    kubernetes_ca_cert: 'old',
    review_mode: 'x',
  }
  t.match(planKubernetesConfig(login, config), {
    changes: [],
    remarks: [{ level: 'stop', text: /in use with review_mode/ }],
  })
})

void test('the policy stays while the role of another cluster uses it, or may use it', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  await fixture.bao.api('POST', 'sys/auth/second', { type: 'jwt' })
  const role = { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'] }
  const shared = { ...role, token_policies: ['transit-bridge-kms'] }
  await fixture.bao.api('POST', 'auth/second/role/kms', shared)
  const remove = () => fixture.bare(['--remove', '--yes'])
  t.match(await remove(), {
    code: 0,
    stdout: /note: policy transit-bridge-kms stays: the role kms at auth\/second\/ uses it/,
  })
  t.equal((await fixture.bao.request('GET', POLICY)).status, 200)
  await fixture.bao.api('DELETE', 'sys/auth/second')
  await fixture.bao.api('POST', 'sys/auth/people', { type: 'cert' })
  t.match(await remove(), { stdout: /whether auth\/people\/ \(cert\) uses it is unknown/ })
  await fixture.bao.api('DELETE', 'sys/auth/people')
  t.match(await remove(), { stdout: /- policy transit-bridge-kms/ })
})

void test('a path that someone denied stays denied, and globs are paths of others', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const { policy } = (await fixture.bao.api('GET', POLICY)).data
  const lines: readonly (readonly [string, RegExp])[] = [
    ['path "transit/decrypt/k8s-etcd" { capabilities = ["deny"] }', /denies transit\/decrypt/],
    ['path "transit/*" { capabilities = ["deny"] }', /also has other paths \(transit\/\*\)/],
    ['path "transit/+/k8s-etcd" { capabilities = ["update"] }', /also has other paths/],
  ]
  for (const [line, words] of lines) {
    const changed = `${policy}\n${line}\n`
    await fixture.bao.api('PUT', POLICY, { policy: changed })
    t.match(await fixture.setup(['--yes']), { code: 1, stdout: words })
    t.equal((await fixture.bao.api('GET', POLICY)).data.policy, changed)
  }
})

void test('what changes while a person reads the plan is not overwritten', async (t) => {
  const fixture = await SetupFixture.start(t)
  const written: string[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      written.push(chunk.toString())
      done()
    },
  })
  const environment = { BAO_TOKEN: fixture.bao.rootToken }
  const values = {
    config: join(fixture.folder, 'config.yaml'),
    helmManifest: undefined,
    vaultCa: undefined,
    vaultClientCert: undefined,
    vaultClientKey: undefined,
    serviceAccountKey: fixture.keyFile,
    issuer: fixture.issuer.issuer,
    serviceAccount: { namespace: 'kube-system', name: 'transit-bridge-kms' },
    noReviewerToken: false,
    remove: false,
    dryRun: false,
    output: 'text',
    yes: false,
    operands: [],
    tokenFile: undefined,
    kubeconfig: undefined,
    jwks: undefined,
    audience: undefined,
    policy: undefined,
    kubernetesHost: undefined,
    kubernetesCa: undefined,
    reviewerTokenFile: undefined,
  } as const
  const code = await runSetup(values, { stdout: stream, stderr: stream, environment }, async () => {
    await fixture.bao.api('PUT', POLICY, { policy: 'path "other" { capabilities = ["read"] }' })
    return true
  })
  t.equal(code, 1)
  t.match(written.join(''), /Vault has changed since the plan was made; nothing was changed/)
  t.equal((await fixture.bao.request('GET', 'transit/keys/k8s-etcd')).status, 404)
})

void test('a run that loses its rights after any change is completed by another run', async (t) => {
  const fixture = await SetupFixture.start(t)
  const proxy = await HttpProxy.start(fixture.bao.address)
  t.teardown(() => proxy.stop())
  const direct = fixture.bao.address
  const total = 8
  for (let allowed = 0; allowed < total; allowed += 1) {
    for (const path of ['sys/auth/jwt', 'sys/mounts/transit', POLICY])
      await fixture.bao.api('DELETE', path)
    let writes = 0
    const isDenied = (method: string, path: string) =>
      method === 'POST' && !path.includes('capabilities') && (writes += 1) > allowed
    proxy.clear()
    proxy.respond({ status: 403, body: { errors: ['permission denied'] } }, { match: isDenied })
    fixture.configure({ address: proxy.address })
    const cutOff = await fixture.setup(['--yes'])
    fixture.configure({ address: direct })
    if (writes > allowed) t.equal(cutOff.code, 1, `after ${String(allowed)} changes`)
    t.equal(cutOff.stdout.includes('Vault is ready'), writes <= allowed)
    const again = await fixture.setup(['--yes'])
    t.equal(again.code, 0, again.stderr)
    t.match(await fixture.login(), { status: 200 })
  }
})
