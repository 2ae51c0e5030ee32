import { spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'

import { planJwtConfig } from '../../src/setup/jwt-part.ts'
import { compareRole } from '../../src/setup/role-difference.ts'
import { obtain } from '../real/host/parts.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { SetupFixture } from './fixture.ts'

type ToldRight = readonly [path: string, capabilities: string]

/** The rights that a message names, one a line. */
function toldRights(text: string): readonly ToldRight[] {
  return [...text.matchAll(/^transit-bridge: {3}(\S+): (.*)$/gm)].map(
    ([, path = '', capabilities = '']) => [path, capabilities] as const,
  )
}

function policyOf(rights: readonly ToldRight[]): string {
  const paths = [...new Set(rights.map(([path]) => path))]
  const grants = paths.map((path) => {
    const capabilities = rights
      .filter(([one]) => one === path)
      .flatMap(([, can]) => can.split(', '))
    return `path "${path}" { capabilities = ${JSON.stringify(capabilities)} }`
  })
  return grants.join('\n')
}

void test('a dry run shows the whole plan and changes nothing', async (t) => {
  const fixture = await SetupFixture.start(t)
  const since = fixture.bao.auditMark()
  const { code, stdout, stderr } = await fixture.setup(['--dry-run'])
  t.strictSame({ code, stderr }, { code: 0, stderr: '' })
  for (const line of [
    '+ transit engine at transit/',
    '+ key k8s-etcd in transit/',
    '    disable_upsert: true, so that an encrypt with a misspelled name creates no key',
    '    transit/encrypt/k8s-etcd: update',
    '    bound_subject: system:serviceaccount:kube-system:transit-bridge-kms',
    '+ audited header X-Transit-Bridge-UID',
    '7 to add, 1 to change',
  ]) {
    t.ok(stdout.split('\n').includes(line), line)
  }
  const asked = fixture.bao.auditRequests({ since })
  t.strictSame(
    asked.filter(({ operation, path }) => operation !== 'read' && !path.includes('capabilities')),
    [],
  )
})

void test('the plugin can use what setup applied, and a second run changes nothing', async (t) => {
  const fixture = await SetupFixture.start(t)
  const first = await fixture.setup(['--yes'])
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /done: Vault is ready/)
  t.match(await fixture.login(), { status: 200, policies: ['default', 'transit-bridge-kms'] })
  const key = await fixture.bao.api('GET', 'transit/keys/k8s-etcd')
  t.match(key.data, { type: 'aes256-gcm96', exportable: false, deletion_allowed: false })

  const since = fixture.bao.auditMark()
  t.strictSame(await fixture.setup(['--yes']), {
    code: 0,
    stdout: 'nothing to change\n',
    stderr: '',
  })
  const changed = fixture.bao
    .auditRequests({ since })
    .filter(({ operation, path }) => operation !== 'read' && !path.includes('capabilities'))
  t.strictSame(changed, [])
})

void test('without a terminal and without --yes nothing is changed', async (t) => {
  const fixture = await SetupFixture.start(t)
  const { code, stderr } = await fixture.setup()
  t.equal(code, 2)
  t.match(
    stderr,
    /^transit-bridge: setup: nothing was changed: standard (input|error) is not a terminal, so you cannot be asked; --yes applies it\n$/,
  )
  t.match(await fixture.setup(['--dry-run']), { stdout: /7 to add, 1 to change/ })
})

void test('the printed commands, run by a shell, prepare Vault', async (t) => {
  const fixture = await SetupFixture.start(t)
  const { stdout } = await fixture.setup(['--dry-run', '--output', 'commands'])
  const bao = await obtain('bao')
  const shell = spawnSync('/bin/sh', ['-e'], {
    input: `bao() { "$BAO" "$@"; }\n${stdout}`,
    env: {
      BAO: bao,
      VAULT_ADDR: fixture.bao.address,
      BAO_ADDR: fixture.bao.address,
      VAULT_TOKEN: fixture.bao.rootToken,
      BAO_TOKEN: fixture.bao.rootToken,
      HOME: fixture.folder,
    },
    encoding: 'utf8',
  })
  t.equal(shell.status, 0, shell.stderr)
  t.match(await fixture.setup(['--dry-run']), { code: 0, stdout: 'nothing to change\n' })
  t.match(await fixture.login(), { status: 200 })
})

void test('HCL and JSON contain the same as the plan', async (t) => {
  const fixture = await SetupFixture.start(t)
  const json = await fixture.setup(['--dry-run', '--output', 'json'])
  const { changes } = JSON.parse(json.stdout) as { changes: { path: string; action: string }[] }
  t.equal(changes.length, 8)
  const hcl = await fixture.setup(['--dry-run', '--output', 'hcl'])
  t.equal(hcl.stdout.match(/^resource "/gm)?.length, changes.length)
  t.match(hcl.stdout, /resource "vault_mount" "transit" \{\n {2}path = "transit"/)
  t.match(hcl.stdout, /bound_audiences = \["vault"\]/)
})

void test('a role made wider by hand is reported and narrowed; its limits stay', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const role = 'auth/jwt/role/transit-bridge-kms'
  const current = (await fixture.bao.api('GET', role)).data
  await fixture.bao.api('POST', role, {
    ...current,
    bound_subject: '',
    bound_audiences: ['vault', 'other'],
    token_policies: ['transit-bridge-kms', 'admin'],
    token_bound_cidrs: ['127.0.0.1/32'],
  })
  const { stdout } = await fixture.setup(['--dry-run'])
  const wider = 'role transit-bridge-kms at auth/jwt/ is wider:'
  for (const line of [
    '~ role transit-bridge-kms at auth/jwt/',
    '    bound_audiences: vault, other -> vault',
    `warn: ${wider} bound_subject is empty, so it allows any service account`,
    `warn: ${wider} bound_audiences also has other`,
    `warn: ${wider} token_policies also has admin`,
  ]) {
    t.ok(stdout.split('\n').includes(line), `${line}\n${stdout}`)
  }
  t.match(await fixture.setup(['--yes']), { code: 0 })
  t.match((await fixture.bao.api('GET', role)).data, {
    bound_subject: 'system:serviceaccount:kube-system:transit-bridge-kms',
    token_policies: ['transit-bridge-kms'],
    token_bound_cidrs: ['127.0.0.1'],
  })
})

void test('a policy made wider by hand is reported with paths and capabilities', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  await fixture.bao.api('PUT', 'sys/policies/acl/transit-bridge-kms', {
    policy: `path "transit/encrypt/k8s-etcd" { capabilities = ["create", "update"] }
path "transit/decrypt/k8s-etcd" { capabilities = ["update"] }`,
  })
  const { stdout } = await fixture.setup(['--dry-run'])
  t.match(
    stdout,
    /warn: policy transit-bridge-kms is wider: transit\/encrypt\/k8s-etcd also allows create/,
  )
  t.match(stdout, / {4}transit\/keys\/k8s-etcd lacks read/)
  t.match(await fixture.setup(['--yes']), { code: 0 })
  t.match(await fixture.setup(['--yes']), { stdout: 'nothing to change\n' })
})

void test('a policy with foreign paths is neither replaced nor removed', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const path = 'sys/policies/acl/transit-bridge-kms'
  const { policy } = (await fixture.bao.api('GET', path)).data
  const shared = `${policy}\npath "transit/encrypt/other-cluster" { capabilities = ["update"] }\n`
  await fixture.bao.api('PUT', path, { policy: shared })
  const words = /also has other paths \(transit\/encrypt\/other-cluster\)/
  t.match(await fixture.setup(['--yes']), { code: 1, stdout: words })
  t.match((await fixture.bare(['--remove', '--dry-run'])).stdout, words)
  await fixture.bare(['--remove', '--yes'])
  t.equal((await fixture.bao.api('GET', path)).data.policy, shared, 'remove keeps it')
})

void test('a jwt method that is in use in another way is not overwritten', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/auth/jwt', { type: 'jwt' })
  await fixture.bao.api('POST', 'auth/jwt/config', {
    jwt_validation_pubkeys: [fixture.issuer.publicKeyPem],
    bound_issuer: fixture.issuer.issuer,
    jwks_ca_pem: '',
  })
  t.match(await fixture.setup(['--yes']), { code: 0 }, 'pinned keys are what setup writes')
  const { address, stop } = await serveJwks()
  t.teardown(stop)
  await fixture.bao.api('POST', 'auth/jwt/config', { jwks_url: address })
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 1)
  t.match(stdout, /stop: auth\/jwt\/ is in use with jwks_url, which pinned keys would replace/)
  const pairs = planJwtConfig(
    {
      method: 'jwt',
      mount: 'jwt',
      setting: 'vault.auth.mount',
      audience: 'vault',
      issuer: 'https://x',
      publicKeys: [fixture.issuer.publicKeyPem],
    },
    // As Vault 1.16 and later return it; OpenBao has no such setting.
    { jwks_pairs: [{ jwks_url: 'https://other' }], bound_issuer: '', status: 'valid' },
  )
  t.match(pairs.remarks, [{ level: 'stop', text: /in use with jwks_pairs/ }])
  t.strictSame(pairs.changes, [])
})

/** The keys of another issuer. */
async function serveJwks() {
  const server = createServer((_request, response) => response.end('{"keys":[]}'))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { address: `http://127.0.0.1:${String(port)}/`, stop: () => void server.close() }
}

void test('a kubernetes role that a namespace selector makes wider is narrowed', async (t) => {
  const wanted = { bound_service_account_names: ['kms'], audience: 'vault' }
  const selector = 'bound_service_account_namespace_selector'
  const found = { ...wanted, [selector]: '{"matchLabels":{}}' }
  t.match(compareRole(found, wanted), {
    body: { [selector]: '' },
    wider: [/namespace_selector is /],
    unknown: [],
  })
  const strange = { ...wanted, bound_service_account_uid_glob: '*', bound_claims: { a: 'b' } }
  t.match(compareRole(strange, wanted), { unknown: ['bound_service_account_uid_glob'] })
  t.match(compareRole({ ...wanted, [selector]: '' }, wanted), { details: [], unknown: [] })
})

void test('an audited header that Vault hashes is corrected', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const path = 'sys/config/auditing/request-headers/X-Transit-Bridge-UID'
  await fixture.bao.api('PUT', path, { hmac: true })
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 0)
  t.match(stdout, /~ audited header X-Transit-Bridge-UID\n {4}hmac: false/)
  t.match(await fixture.setup(['--yes']), { code: 0, stdout: 'nothing to change\n' })
})

void test('a policy that grants the same in another form is not changed', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const path = (name: string, can: string) =>
    `path "transit/${name}/k8s-etcd" { capabilities=["${can}"] }`
  const policy = [path('keys', 'read'), path('decrypt', 'update'), path('encrypt', 'update')].join(
    '\n',
  )
  await fixture.bao.api('PUT', 'sys/policies/acl/transit-bridge-kms', { policy })
  t.match(await fixture.setup(['--yes']), { code: 0, stdout: 'nothing to change\n' })
})

void test('a suitable key is used; deletion is forbidden if it was allowed', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/mounts/transit', { type: 'transit' })
  await fixture.bao.api('POST', 'transit/keys/k8s-etcd', {})
  await fixture.bao.api('POST', 'transit/keys/k8s-etcd/config', { deletion_allowed: true })
  const before = (await fixture.bao.api('GET', 'transit/keys/k8s-etcd')).data.keys
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 0)
  t.match(stdout, /warn: key k8s-etcd in transit\/ may be deleted/)
  const { data } = await fixture.bao.api('GET', 'transit/keys/k8s-etcd')
  t.match(data, { keys: before, deletion_allowed: false })
})

void test('disable_upsert is not set on an engine that others use', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/mounts/transit', { type: 'transit' })
  await fixture.bao.api('POST', 'transit/keys/of-another-program', {})
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 0, stdout)
  t.match(stdout, /note: transit\/ also has 1 other key, and disable_upsert applies to all of them/)
  const upsert = async () => {
    const { body } = await fixture.bao.request('GET', 'transit/config/keys')
    return (body as { data?: { disable_upsert?: boolean } }).data?.disable_upsert ?? false
  }
  t.equal(await upsert(), false)
  await fixture.bao.api('POST', 'transit/keys/of-another-program/config', {
    deletion_allowed: true,
  })
  await fixture.bao.api('DELETE', 'transit/keys/of-another-program')
  t.equal((await fixture.setup(['--yes'])).code, 0)
  t.equal(await upsert(), true, 'alone, it is set')
})

void test('an exportable key is reported and not changed', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/mounts/transit', { type: 'transit' })
  await fixture.bao.api('POST', 'transit/keys/k8s-etcd', { exportable: true })
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 0)
  t.match(
    stdout,
    /warn: key k8s-etcd in transit\/ has exportable: true, so the key can leave Vault/,
  )
  t.equal((await fixture.bao.api('GET', 'transit/keys/k8s-etcd')).data.exportable, true)
})

void test('a key of another type stops everything', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/mounts/transit', { type: 'transit' })
  await fixture.bao.api('POST', 'transit/keys/k8s-etcd', { type: 'rsa-2048' })
  const { code, stdout, stderr } = await fixture.setup(['--yes'])
  t.equal(code, 1)
  t.match(stdout, /stop: key k8s-etcd in transit\/ is of type rsa-2048, not aes256-gcm96/)
  t.match(stdout, /\nstopped: nothing was changed\n$/)
  t.equal(stderr, 'transit-bridge: setup: first resolve the lines that say stop\n')
  t.equal((await fixture.bao.request('GET', 'sys/policies/acl/transit-bridge-kms')).status, 404)
})

void test('settings of another cluster stop everything', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const other = await fixture.setup(['--yes'])
  t.equal(other.code, 0)
  fixture.configure({ key: 'other-cluster' })
  const policy = await fixture.setup(['--dry-run'])
  t.equal(policy.code, 1)
  t.match(
    policy.stdout,
    /stop: policy transit-bridge-kms also has other paths .* choose another name with --policy/,
  )
  fixture.configure()
  const role = await fixture.setup(['--dry-run', '--service-account', 'kube-system/other'])
  t.match(
    role.stdout,
    /stop: role transit-bridge-kms at auth\/jwt\/ is for system:serviceaccount:kube-system:transit-bridge-kms/,
  )
  const keys = ['--service-account-key', fixture.keyFile, '--issuer', 'https://other.example.com']
  const issuer = await fixture.bare([...keys, '--dry-run'])
  t.match(issuer.stdout, /stop: auth\/jwt\/ is for the issuer https:\/\/kubernetes\.default/)
})

void test('a policy with a foreign path stops everything, and what it lacks is named', async (t) => {
  const fixture = await SetupFixture.start(t)
  const policy = `path "secret/x" { capabilities = ["read"] }
path "transit/encrypt/k8s-etcd" { capabilities = ["read"] }`
  await fixture.bao.api('PUT', 'sys/policies/acl/transit-bridge-kms', { policy })
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 1)
  t.match(
    stdout,
    /other paths \(secret\/x\), which .* may use, and is not sufficient \(transit\/encrypt\/k8s-etcd lacks update, .*\); choose another name/,
  )
  t.match(stdout, /\nstopped: nothing was changed\n$/)
  t.notMatch(stdout, /to add|nothing to change/)
})

void test('a new key of the cluster is added; a key that it does not publish is reported', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const other = await SetupFixture.start(t)
  const both = fixture.write('both.pub', fixture.issuer.publicKeyPem + other.issuer.publicKeyPem)
  const keys = (file: string) => ['--service-account-key', file, '--issuer', fixture.issuer.issuer]
  t.match(await fixture.bare([...keys(both), '--yes']), { code: 0, stdout: /1 to change/ })
  t.match(await fixture.login(), { status: 200 })
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 0)
  t.match(stdout, /warn: auth\/jwt\/ trusts a public key that the cluster does not publish/)
  t.match(stdout, /nothing to change\n$/)
})

void test('missing rights are reported as paths and capabilities, which are sufficient', async (t) => {
  const fixture = await SetupFixture.start(t)
  const nothing = await fixture.setup(['--yes'], await fixture.token(policyOf([['none', 'read']])))
  t.equal(nothing.code, 1)
  t.match(nothing.stderr, /operator token lacks rights; nothing was changed/)
  const reading = toldRights(nothing.stderr)
  t.match(new Map(reading).get('sys/mounts'), 'read')

  const reader = await fixture.setup(['--yes'], await fixture.token(policyOf(reading)))
  t.equal(reader.code, 1)
  t.match(reader.stdout, /7 to add, 1 to change/)
  const writing = toldRights(reader.stderr)
  t.equal(new Map(writing).get('auth/jwt/role/transit-bridge-kms'), 'create')
  t.equal(new Map(writing).get('sys/auth/jwt'), 'update, sudo')

  const both = await fixture.token(policyOf([...reading, ...writing]))
  const able = await fixture.setup(['--yes'], both)
  t.equal(able.code, 0, able.stderr)
  t.match(await fixture.login(), { status: 200 })
})

void test('--remove removes what setup created, but never the key', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  const plan = await fixture.bare(['--remove', '--dry-run'])
  t.match(plan.stdout, /3 to remove/)
  const unasked = await fixture.bare(['--remove'])
  t.equal(unasked.code, 2)
  t.match(await fixture.login(), { status: 200 }, 'nothing was removed yet')

  const { code, stdout } = await fixture.bare(['--remove', '--yes'])
  t.equal(code, 0)
  t.match(stdout, /note: the engine at transit\/ stays, with its keys: k8s-etcd/)
  t.equal((await fixture.bao.request('GET', 'sys/policies/acl/transit-bridge-kms')).status, 404)
  t.notOk((await fixture.bao.api('GET', 'sys/auth'))['jwt/'])
  t.equal((await fixture.bao.request('GET', 'transit/keys/k8s-etcd')).status, 200)
  t.match(await fixture.bare(['--remove', '--yes']), { code: 0, stdout: /nothing to change/ })
  t.match(await fixture.setup(['--yes']), { code: 0 }, 'and it can be made again')
})

void test('--remove keeps what others use, and what setup did not create', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/mounts/transit', { type: 'transit' })
  await fixture.setup(['--yes'])
  await fixture.bao.api('POST', 'auth/jwt/role/other', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
  })
  const { stdout } = await fixture.bare(['--remove', '--yes'])
  t.match(stdout, /note: auth\/jwt\/ stays, for its roles: other/)
  t.ok((await fixture.bao.api('GET', 'sys/auth'))['jwt/'])
})

void test('an engine that setup created and that holds no key is removed', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.setup(['--yes'])
  await fixture.bao.api('POST', 'transit/keys/k8s-etcd/config', { deletion_allowed: true })
  await fixture.bao.api('DELETE', 'transit/keys/k8s-etcd')
  t.match(await fixture.bare(['--remove', '--yes']), { code: 0, stdout: /4 to remove/ })
  t.notOk((await fixture.bao.api('GET', 'sys/mounts'))['transit/'])
})

void test('other mounts, names and engines', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('POST', 'sys/mounts/kv', { type: 'kv' })
  fixture.configure({ mount: 'kv' })
  t.match(await fixture.setup(['--dry-run']), {
    code: 1,
    stdout: /stop: kv\/ is an engine of type kv/,
  })
  const auth = '{method: jwt, mount: clusters/one, role: one, tokenFile: /token}'
  fixture.configure({ mount: 'team/transit', key: 'one.etcd', auth })
  t.match(await fixture.setup(['--yes', '--policy', 'one-kms']), { code: 0 })
  const { data } = await fixture.bao.api('GET', 'sys/policies/acl/one-kms')
  t.match(data.policy, /path "team\/transit\/encrypt\/one\.etcd"/)
  t.match(await fixture.setup(['--yes', '--policy', 'one-kms']), { stdout: 'nothing to change\n' })
})

void test('the kubernetes login is prepared, with a note about its dependency on the API server', async (t) => {
  const fixture = await SetupFixture.start(t)
  fixture.configure({ auth: '{method: kubernetes, role: transit-bridge-kms, tokenFile: /token}' })
  const { caPem } = await CertificateAuthority.create()
  const ca = ['--kubernetes-ca', fixture.write('ca.pem', caPem)]
  const bare = [...ca, '--kubernetes-host', 'https://10.0.0.1:6443']
  const undecided = await fixture.bare([...bare, '--yes'])
  t.match(undecided, { code: 1, stdout: /stop: .*refuses the audience "vault": pass --reviewer-/ })
  const host = [...bare, '--no-reviewer-token']
  const first = await fixture.bare([...host, '--yes'])
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /note: the kubernetes method asks the API server about each token/)
  t.match(await fixture.bare([...host, '--yes']), { code: 0, stdout: /nothing to change\n$/ })
  t.match(first.stdout, /note: without a reviewer token, .*not only for "vault"/)
  const reviewer = fixture.write('reviewer', 'reviewer.token.secret\n')
  const withReviewer = [...bare, '--reviewer-token-file', reviewer]
  for (const output of ['text', 'hcl', 'commands', 'json']) {
    const { stdout } = await fixture.bare([...withReviewer, '--dry-run', '--output', output])
    t.ok(stdout.includes(reviewer), `${output} names the file`)
    t.notOk(stdout.includes('reviewer.token.secret'), `${output} does not show the token`)
  }
  t.match(await fixture.bare([...withReviewer, '--yes']), {
    code: 0,
    stdout: /token_reviewer_jwt: from .*reviewer\n/,
  })
  const { data } = await fixture.bao.api('GET', 'auth/kubernetes/config')
  t.match(data, { token_reviewer_jwt_set: true, kubernetes_host: 'https://10.0.0.1:6443' })
  t.match(await fixture.bare([...bare, '--yes']), { code: 0, stdout: /nothing to change\n$/ })
  const other = await fixture.bare([
    ...ca,
    '--kubernetes-host',
    'https://10.0.0.2:6443',
    '--dry-run',
  ])
  t.match(other, {
    code: 1,
    stdout: /stop: auth\/kubernetes\/ asks the API server https:\/\/10\.0\.0\.1/,
  })
})

void test('setup does not prepare other login methods', async (t) => {
  const fixture = await SetupFixture.start(t)
  fixture.configure({ auth: '{method: token, tokenFile: /token}' })
  const { code, stdout } = await fixture.bare(['--yes'])
  t.equal(code, 0)
  t.match(stdout, /note: setup does not prepare this login/)
  t.match(stdout, /4 to add, 1 to change|3 to add, 1 to change/)
  t.match(stdout, /\ndone: everything but the login is ready\n$/)
})

void test('for workloads of the CSI provider, setup prepares the login and prints the command for roles', async (t) => {
  const fixture = await SetupFixture.start(t)
  fixture.configure({ more: 'csi: {audience: pods, mount: apps, auth: {mount: pods}}\n' })
  const { code, stdout } = await fixture.setup(['--yes'])
  t.equal(code, 0, stdout)
  t.match(stdout, /bao write auth\/pods\/role\/ROLE .*bound_audiences=pods/)
  const engines = (await fixture.bao.api('GET', 'sys/mounts')).data
  t.equal(engines['apps/'].type, 'transit')
  const { data } = await fixture.bao.api('GET', 'auth/pods/config')
  t.equal(data.bound_issuer, fixture.issuer.issuer)
  t.match(await fixture.setup(['--yes']), { code: 0, stdout: /^nothing to change/ })
  const removed = await fixture.setup(['--yes', '--remove'])
  t.match(removed, { code: 0, stdout: /login at auth\/pods\/, which has no other role/ })
  t.notOk((await fixture.bao.api('GET', 'sys/auth')).data['pods/'])
})

void test('what plugin and provider share is planned once; a provider alone gets no role', async (t) => {
  const fixture = await SetupFixture.start(t)
  fixture.configure({ more: 'csi: {audience: vault}\n' })
  t.match(await fixture.setup(['--dry-run']), { stdout: /7 to add, 1 to change/ })
  t.match(await fixture.setup(['--dry-run', '--remove']), { code: 0, stdout: /nothing to change/ })
  fixture.write(
    'config.yaml',
    `vault: {address: "${fixture.bao.address}"}\ncsi: {audience: vault}\n`,
  )
  t.match(await fixture.setup(['--yes']), { code: 0, stdout: /^\+ transit engine.*3 to add\n/s })
  const { status } = await fixture.bao.request('GET', 'auth/jwt/role/transit-bridge-kms')
  t.equal(status, 404)
  t.match(await fixture.bare(['--yes']), { code: 2, stderr: /needs one of --kubeconfig/ })
})

void test('if setup does not prepare the login of the plugin, the keys of the cluster still prepare that of pods', async (t) => {
  const fixture = await SetupFixture.start(t)
  const auth = '{method: token, tokenFile: /token}'
  fixture.configure({ auth, more: 'csi: {audience: vault}\n' })
  t.match(await fixture.bare(['--dry-run']), {
    code: 0,
    stdout: /note: the login of pods at auth\/jwt\/ is not prepared; pass --kubeconfig FILE/,
  })
  t.match(await fixture.setup(['--dry-run']), { stdout: /\+ login by jwt at auth\/jwt\// })
  fixture.configure({ auth, more: 'csi: {audience: vault, auth: {namespace: apps}}\n' })
  t.match(await fixture.setup(['--dry-run']), {
    stdout: /another Vault namespace \(csi.auth.namespace\)/,
  })
  fixture.configure({ more: 'csi: {audience: vault, auth: {namespace: apps}}\n' })
  t.match(await fixture.setup(['--yes']), {
    code: 0,
    stdout: /\ndone: everything but the login of pods is ready\n/,
  })
})

void test('a kubernetes login with a wrong CA or an old reviewer token is repaired by another run', async (t) => {
  const fixture = await SetupFixture.start(t)
  fixture.configure({ auth: '{method: kubernetes, role: transit-bridge-kms, tokenFile: /token}' })
  const [wrong, right] = await Promise.all([
    CertificateAuthority.create(),
    CertificateAuthority.create(),
  ])
  const host = ['--kubernetes-host', 'https://10.0.0.1:6443', '--yes']
  const withCa = (name: string, pem: string) => [
    ...host,
    '--kubernetes-ca',
    fixture.write(name, pem),
  ]
  const reviewer = { namespace: 'kube-system', name: 'vault-reviewer' }
  const expired = await fixture.issuer.token({ ...reviewer, expiresIn: -600 })
  const withToken = (name: string, jwt: string) => [
    '--reviewer-token-file',
    fixture.write(name, jwt),
  ]
  const first = await fixture.bare([
    ...withCa('wrong.pem', wrong.caPem),
    ...withToken('old', expired),
  ])
  t.match(first, { code: 0, stdout: /warn: \S+old cannot review logins: .*expired 10 min ago/ })
  t.match(first.stdout, /warn: \S+old has audience "vault", which the API server refuses/)
  const kept = { disable_iss_validation: false, issuer: fixture.issuer.issuer }
  const path = 'auth/kubernetes/config'
  const { data: before } = await fixture.bao.api('GET', path)
  await fixture.bao.api('POST', path, { ...before, ...kept, token_reviewer_jwt: expired })

  // Vault resets what a write omits and does not show the token, so the token must be passed again.
  t.match(await fixture.bare(withCa('right.pem', right.caPem)), {
    code: 1,
    stdout: /stop: .*a CA certificate other than.* pass --reviewer-token-file FILE/,
  })
  const fresh = await fixture.issuer.token({ ...reviewer, audience: fixture.issuer.issuer })
  const repaired = await fixture.bare([
    ...withCa('right.pem', right.caPem),
    ...withToken('new', fresh),
  ])
  t.match(repaired, {
    code: 0,
    stdout: /kubernetes_ca_cert: another certificate[^]*Vault is ready/,
  })
  t.notMatch(repaired.stdout, /warn: \S+new /)
  const { data: after } = await fixture.bao.api('GET', path)
  t.match(after, { ...kept, token_reviewer_jwt_set: true })
  t.equal(after.kubernetes_ca_cert.trim(), right.caPem.trim())
  t.match(await fixture.bare(withCa('right.pem', right.caPem)), { stdout: /nothing to change\n$/ })
  // A new reviewer token is written whenever one is passed.
  t.match(await fixture.bare([...withCa('right.pem', right.caPem), ...withToken('new', fresh)]), {
    code: 0,
    stdout: /token_reviewer_jwt: from \S+new[^]*Vault is ready/,
  })
})
