// Several Transit mounts and Vault namespaces in one provider. Vault Community has no namespaces, so this needs OpenBao.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, end, test } from 'tap'
import { parse } from 'yaml'
import { CSI_OBJECT_TYPES, type CsiRule } from '../../src/config/config.ts'
import { parseProviderConfig } from '../../src/config/load.ts'
import { readManifests } from '../../src/csi/class/class-manifest.ts'
import { HttpProxy } from '../real/faults/http-proxy.ts'
import { DocumentText, OperatorShell } from './document.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { failure, startFixture, type FixtureOptions } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
const { bao } = vault

const POLICY = `
path "+/keys/+" { capabilities = ["read"] }
path "+/decrypt/+" { capabilities = ["update"] }
path "+/export/+/+" { capabilities = ["read"] }
`
const inside = (namespace: string) => (namespace === '' ? {} : { namespace })

/** Lets pods log in as `web` in a namespace. */
async function enableLogin(namespace: string, mount = 'jwt', policy = POLICY): Promise<void> {
  const within = inside(namespace)
  await bao.api('POST', `sys/auth/${mount}`, { type: 'jwt' }, within)
  const keys = {
    jwt_validation_pubkeys: [vault.issuer.publicKeyPem],
    bound_issuer: vault.issuer.issuer,
  }
  await bao.api('POST', `auth/${mount}/config`, keys, within)
  await bao.api('PUT', `sys/policies/acl/${mount}`, { policy }, within)
  const role = {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    token_policies: [mount],
  }
  await bao.api('POST', `auth/${mount}/role/web`, role, within)
}

async function encrypt(place: { namespace?: string; mount?: string }, key: string, value: string) {
  const { namespace = '', mount = 'transit' } = place
  const body = { plaintext: Buffer.from(value).toString('base64') }
  const answer = await bao.api('POST', `${mount}/encrypt/${key}`, body, inside(namespace))
  return String(answer.data.ciphertext)
}

for (const namespace of ['team-a', 'team-b', 'team-c']) {
  await bao.api('POST', `sys/namespaces/${namespace}`, {})
  for (const mount of ['transit', 'other']) {
    await bao.api('POST', `sys/mounts/${mount}`, { type: 'transit' }, { namespace })
    for (const key of ['app', 'k8s-etcd'])
      await bao.api('POST', `${mount}/keys/${key}`, {}, { namespace })
  }
}
await enableLogin('team-a')
await enableLogin('team-b')
await enableLogin('team-c', 'pods')
await enableLogin('', 'parent', 'path "team-b/transit/decrypt/app" { capabilities = ["update"] }')
await bao.api('POST', 'sys/mounts/second', { type: 'transit' })
await bao.api('POST', 'second/keys/app', {})
await vault.makeKey('app')
await vault.makeKey('k8s-etcd')
await vault.enableRole('web', POLICY)

/** A rule for pods of namespace shop. */
const rule = (place: Partial<CsiRule>): CsiRule => ({
  namespaces: ['shop'],
  serviceAccounts: ['*'],
  roles: ['web'],
  keys: ['*'],
  types: CSI_OBJECT_TYPES,
  ...place,
})

async function start(
  t: { teardown: (stop: () => Promise<void>) => void },
  options: FixtureOptions,
) {
  const fixture = await startFixture(vault, options)
  t.teardown(fixture.stop)
  return fixture
}

const INFO = { path: 'info', type: 'keyInfo', key: 'app' }
let pods = 0
const freshPod = () => newPod({ serviceAccount: `tenant-${String((pods += 1))}` })

function askedSince(mark: number): string[] {
  return bao
    .auditRequests({ since: mark })
    .filter(({ displayName, path }) => displayName !== 'root' && !path.startsWith('sys/'))
    .map(({ namespace, operation, path }) => `${namespace} ${operation} ${path}`)
}

void test('one volume contains values of several mounts and Vault namespaces that rules list', async (t) => {
  const fixture = await start(t, {
    rules: [
      rule({}),
      rule({ mount: 'second' }),
      rule({ vaultNamespace: 'team-a' }),
      rule({ vaultNamespace: 'team-b', mount: 'other' }),
    ],
  })
  const places = [
    { path: 'home' },
    { path: 'second', mount: 'second' },
    { path: 'a', vaultNamespace: 'team-a/' },
    { path: 'b', vaultNamespace: 'team-b', mount: 'other' },
  ]
  const objects = await Promise.all(
    places.map(async ({ path, vaultNamespace, mount }) => {
      const place = { ...(mount && { mount }), ...(vaultNamespace && { vaultNamespace }) }
      const namespace = vaultNamespace?.replace('/', '') ?? ''
      const ciphertext = await encrypt({ ...place, namespace }, 'app', `value of ${path}`)
      return { path, type: 'decrypt', key: 'app', ciphertext, ...place }
    }),
  )
  const attributes = await vault.attributes(freshPod(), [...objects, INFO])
  const mark = bao.auditMark()
  const first = await fixture.driver.mount({ attributes })
  for (const { path } of places)
    t.equal(String(first.files.get(path)?.contents), `value of ${path}`)
  t.same(askedSince(mark).toSorted(), [
    ' read transit/keys/app',
    ' update auth/jwt/login',
    ' update second/decrypt/app',
    ' update transit/decrypt/app',
    'team-a/ update auth/jwt/login',
    'team-a/ update transit/decrypt/app',
    'team-b/ update auth/jwt/login',
    'team-b/ update other/decrypt/app',
  ])
  const later = bao.auditMark()
  t.same(await fixture.driver.mount({ attributes }), first)
  t.same(askedSince(later), [], 'all of it is cached')
  t.equal(fixture.provider.sessions.size, 3, 'one session per Vault namespace')
})

void test('parameters of the class apply to its objects, and an object can name another engine', async (t) => {
  const fixture = await start(t, {
    rules: [rule({ vaultNamespace: 'team-a', mount: 'other' }), rule({ vaultNamespace: '' })],
  })
  const ofA = await encrypt({ namespace: 'team-a', mount: 'other' }, 'app', 'of a')
  const home = { ciphertext: await encrypt({}, 'app', 'of home'), vaultNamespace: 'root' }
  const objects = [
    { path: 'a', type: 'decrypt', key: 'app', ciphertext: ofA },
    { path: 'home', type: 'decrypt', key: 'app', mount: 'transit', ...home },
  ]
  const attributes = await vault.attributes(freshPod(), objects, {
    vaultNamespace: 'team-a',
    mount: 'other',
  })
  const { files } = await fixture.driver.mount({ attributes })
  t.equal(String(files.get('a')?.contents), 'of a')
  t.equal(String(files.get('home')?.contents), 'of home')
})

void test('keys of the same name in different engines are never mixed up', async (t) => {
  const fixture = await start(t, {
    rules: [rule({}), rule({ mount: 'second' }), rule({ vaultNamespace: 'team-a' })],
  })
  for (const namespace of ['team-a'])
    for (let turn = 0; turn < 2; turn += 1)
      await bao.api('POST', 'transit/keys/app/rotate', {}, { namespace })
  await bao.api('POST', 'second/keys/app/rotate', {})
  const objects = [
    INFO,
    { ...INFO, path: 'second', mount: 'second' },
    { ...INFO, path: 'a', vaultNamespace: 'team-a' },
  ]
  const attributes = await vault.attributes(freshPod(), objects)
  const { files } = await fixture.driver.mount({ attributes })
  const versions = ['info', 'second', 'a'].map(
    (path) => JSON.parse(String(files.get(path)?.contents)).latestVersion,
  )
  t.same(versions, [1, 2, 3])
})

void test('what a rule does not list is refused without a request', async (t) => {
  const rules = [
    rule({ vaultNamespace: 'team-a', keys: ['app'] }),
    rule({ vaultNamespace: 'team-b', roles: ['admin'] }),
    rule({ namespaces: ['bank'], vaultNamespace: 'team-c' }),
    rule({ mount: 'second', types: ['keyInfo'] }),
  ]
  const fixture = await start(t, { rules })
  const cases: readonly (readonly [string, object, RegExp])[] = [
    ['the default engine', {}, /allows mount "transit" \(mount\)/],
    ['another mount', { mount: 'other' }, /allows mount "other" \(mount\)/],
    [
      'another mount of a listed namespace',
      { vaultNamespace: 'team-a', mount: 'other' },
      /allows mount "other" in Vault namespace "team-a" \(mount, vaultNamespace\)/,
    ],
    ['a rule for another role', { vaultNamespace: 'team-b' }, /in Vault namespace "team-b"/],
    ['a rule for another Kubernetes namespace', { vaultNamespace: 'team-c' }, /"team-c"/],
    ['a namespace inside a listed one', { vaultNamespace: 'team-a/inner' }, /"team-a\/inner"/],
    ['a listed engine with another key', { vaultNamespace: 'team-a', key: 'k8s' }, /key "k8s"/],
    ['a listed engine, written as a path', { mount: 'team-a/transit' }, /mount "team-a\/transit"/],
    ['a listed engine with another type', { mount: 'second', type: 'jwks' }, /allows type jwks/],
    ['a different case', { vaultNamespace: 'Team-A' }, /"Team-A"/],
    ['a pattern', { vaultNamespace: '*' }, /Vault namespace "\*"/],
  ]
  const mark = bao.auditMark()
  for (const [name, change, words] of cases) {
    const attributes = await vault.attributes(freshPod(), [{ ...INFO, ...change }])
    const refusal = await failure(fixture.driver.mount({ attributes }))
    t.match(refusal, { code: 'PERMISSION_DENIED', message: words }, name)
    t.match(refusal.message, /^csi\.rules of transit-bridge do not allow this Mount/, name)
  }
  t.same(askedSince(mark), [])
  const allowed = await vault.attributes(freshPod(), [{ ...INFO, vaultNamespace: 'team-a' }])
  t.equal((await fixture.driver.mount({ attributes: allowed })).files.size, 1)
})

void test('no pattern matches the key of the KMS plugin, no matter how its engine is written', async (t) => {
  const etcd = { ...INFO, key: 'k8s-etcd' }
  const named =
    /lists key "k8s-etcd" by its exact name \(keys\), which the key of the KMS plugin requires/
  const wide = await start(t, {
    rules: [rule({}), rule({ vaultNamespace: 'team-a' }), rule({ mount: 'second' })],
  })
  // A Vault without namespaces would serve the second of these from its root namespace.
  for (const place of [{}, { vaultNamespace: 'team-a' }]) {
    const attributes = await vault.attributes(freshPod(), [{ ...etcd, ...place }])
    t.match(await failure(wide.driver.mount({ attributes })), { message: named })
  }
  const inTeam = await start(t, {
    vaultNamespace: 'team-a',
    rules: [
      rule({}),
      rule({ vaultNamespace: '', mount: 'team-a/transit' }),
      rule({ vaultNamespace: '', mount: 'second' }),
    ],
  })
  for (const place of [{}, { vaultNamespace: 'root', mount: 'team-a/transit' }]) {
    const attributes = await vault.attributes(freshPod(), [{ ...etcd, ...place }])
    t.match(await failure(inTeam.driver.mount({ attributes })), { message: named })
  }
  const full = await start(t, { rules: [rule({ keys: ['k8s-etcd'] })] })
  const attributes = await vault.attributes(freshPod(), [etcd])
  t.equal((await full.driver.mount({ attributes })).files.size, 1)
})

/** HashiCorp Vault Community ignores the header; a proxy that removes it is such a Vault for the provider. */
void test('on a Vault without namespaces a rule for a namespace never reaches the key of the KMS plugin', async (t) => {
  const proxy = await HttpProxy.start(bao.address)
  t.teardown(() => proxy.stop())
  proxy.drop('x-vault-namespace')
  const rules = [rule({ vaultNamespace: 'team-a' })]
  const fixture = await start(t, { address: proxy.address, rules })
  const decrypt = async (key: string) => {
    const ciphertext = await encrypt({}, key, 'of the root namespace')
    const object = { path: 'x', type: 'decrypt', key, ciphertext, vaultNamespace: 'team-a' }
    return { attributes: await vault.attributes(freshPod(), [object]) }
  }
  const { files } = await fixture.driver.mount(await decrypt('app'))
  t.equal(String(files.get('x')?.contents), 'of the root namespace', 'the namespace is ignored')
  t.match(await failure(fixture.driver.mount(await decrypt('k8s-etcd'))), {
    code: 'PERMISSION_DENIED',
    message: /lists key "k8s-etcd" by its exact name/,
  })
})

void test('pods log in to a Vault namespace as csi.authByNamespace says', async (t) => {
  const rules = [rule({ vaultNamespace: 'team-b' }), rule({ vaultNamespace: 'team-c' })]
  const decrypt = async (namespace: string) => ({
    path: namespace,
    type: 'decrypt',
    key: 'app',
    vaultNamespace: namespace,
    ciphertext: await encrypt({ namespace }, 'app', namespace),
  })
  const objects = [await decrypt('team-b'), await decrypt('team-c')]
  const fixture = await startFixture(vault, {
    rules,
    authByNamespace: [
      { vaultNamespace: 'team-c', method: 'jwt', mount: 'pods' },
      { vaultNamespace: 'team-b', method: 'jwt', mount: 'parent', namespace: '' },
    ],
  })
  const mark = bao.auditMark()
  const attributes = await vault.attributes(freshPod(), objects)
  const { files } = await fixture.driver.mount({ attributes })
  t.same(
    [...files.values()].map(({ contents }) => String(contents)),
    ['team-b', 'team-c'],
  )
  t.same(askedSince(mark).toSorted(), [
    ' update auth/parent/login',
    'team-b/ update transit/decrypt/app',
    'team-c/ update auth/pods/login',
    'team-c/ update transit/decrypt/app',
  ])
  const stopping = bao.auditMark()
  await fixture.stop()
  const revoked = bao.auditRequests({ since: stopping, path: 'auth/token/revoke-self' })
  t.same([revoked.length, revoked.filter(({ error }) => error !== undefined)], [2, []])
  const without = await start(t, { rules })
  t.match(await failure(without.driver.mount({ attributes })), {
    code: 'PERMISSION_DENIED',
    message: /jwt login .* was refused: .*csi\.auth\.mount = jwt in Vault namespace team-c/,
  })
})

void test('a policy in one Vault namespace allows nothing in another', async (t) => {
  await bao.api('POST', 'sys/namespaces/team-d', {})
  await bao.api('POST', 'sys/mounts/transit', { type: 'transit' }, { namespace: 'team-d' })
  await bao.api('POST', 'transit/keys/app', {}, { namespace: 'team-d' })
  await enableLogin('team-d', 'jwt', 'path "transit/keys/other" { capabilities = ["read"] }')
  const fixture = await start(t, {
    rules: [rule({ vaultNamespace: 'team-a' }), rule({ vaultNamespace: 'team-d' })],
  })
  const pod = freshPod()
  const ofA = await vault.attributes(pod, [{ ...INFO, vaultNamespace: 'team-a' }])
  await fixture.driver.mount({ attributes: ofA })
  const ofD = await vault.attributes(pod, [{ ...INFO, vaultNamespace: 'team-d' }])
  t.match(await failure(fixture.driver.mount({ attributes: ofD })), {
    code: 'PERMISSION_DENIED',
    message: /must allow read on transit\/keys\/app in Vault namespace team-d$/,
  })
  const gone = await vault.attributes(pod, [{ ...INFO, key: 'gone', vaultNamespace: 'team-a' }])
  t.match(await failure(fixture.driver.mount({ attributes: gone })), {
    message: /no transit key gone at mount transit in Vault namespace team-a; correct/,
  })
})

void test('Vault tokens are revoked in every namespace when the provider ends', async (t) => {
  const fixture = await startFixture(vault, {
    rules: [rule({}), rule({ vaultNamespace: 'team-a' })],
  })
  const objects = [INFO, { ...INFO, path: 'a', vaultNamespace: 'team-a' }]
  await fixture.driver.mount({ attributes: await vault.attributes(freshPod(), objects) })
  const mark = bao.auditMark()
  await fixture.stop()
  t.same(askedSince(mark).toSorted(), [
    ' update auth/token/revoke-self',
    'team-a/ update auth/token/revoke-self',
  ])
  t.notOk(bao.auditRequests({ since: mark }).some(({ error }) => error !== undefined))
})

void test('docs/operations/csi-tenants.md: its commands, configuration and class mount a value', async (t) => {
  const document = new DocumentText('operations/csi-tenants.md')
  const documented = await PodVault.start()
  t.teardown(() => documented.stop())
  const shell = await OperatorShell.open(documented.bao)
  writeFileSync(join(shell.folder, 'sa.pub'), documented.issuer.publicKeyPem)
  const { issuer } = documented.issuer
  shell.run(
    document.block('commands: namespace').replace('https://kubernetes.default.svc', () => issuer),
  )
  const { config } = parseProviderConfig('csi.yaml', document.block('example: configuration'), {})
  if (config.csi === undefined) throw new Error('no section csi')
  const fixture = await startFixture(documented, config.csi)
  t.teardown(fixture.stop)
  const text = document.block('example: class')
  const plaintext = Buffer.from('of the document').toString('base64')
  const made = await documented.bao.api(
    'POST',
    'transit/encrypt/app-data',
    { plaintext },
    { namespace: 'team-a' },
  )
  const filled = text.replaceAll('vault:v1:REPLACE', String(made.data.ciphertext))
  t.match(readManifests(filled), [{ name: 'web', faults: [] }])
  const { parameters } = (parse(filled) as { spec: { parameters: Record<string, string> } }).spec
  const pod = newPod({ namespace: 'team-a-shop' })
  const mount = async (objects = '') =>
    fixture.driver.mount({
      attributes: await documented.attributes(pod, objects, { ...parameters, objects }),
    })
  const refusal = await failure(mount(parameters['objects']))
  const [, message = ''] = /`(no rule for team-a-shop[^`]*)`/.exec(document.text) ?? []
  t.not(message, '')
  t.match(refusal.message, message.replace('\n', ' '))
  const [first = ''] = parameters['objects']?.split('\n') ?? []
  t.equal(String((await mount(first)).files.get('password')?.contents), 'of the document')
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
