import { after, end, test } from 'tap'
import { SkippingClock } from '../fakes/clock.ts'
import { eventually } from '../real/host/eventually.ts'
import { HttpProxy } from '../real/faults/http-proxy.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { configKey, deleteKey, rotateKey } from '../real/vault/transit-setup.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { failure, podRequests, startFixture } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('app-signing', 'ed25519')
await vault.makeKey('app-data')
await vault.makeKey('app-other')

const LOGIN = 'update auth/jwt/login'
const READ = 'read transit/keys/app-signing'
const DECRYPT = 'update transit/decrypt/app-data'
const REVOKE = 'update auth/token/revoke-self'
const PUBLIC = { path: 'a.pem', type: 'publicKey', key: 'app-signing' }

async function secrets(count: number, key = 'app-data') {
  return Promise.all(
    Array.from({ length: count }, async (_none, index) => ({
      path: `s/${String(index)}`,
      type: 'decrypt',
      key,
      ciphertext: await vault.encrypt(key, `value ${String(index)}`),
    })),
  )
}

/** A pod with its own service account, about which the provider has no cached decision. */
let accounts = 0
const freshPod = () => newPod({ serviceAccount: `account-${String((accounts += 1))}` })

void test('a Mount takes one login, and one read and one decrypt request per key, for any number of objects', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const objects = [
    PUBLIC,
    { ...PUBLIC, path: 'jwks', type: 'jwks' },
    ...(await secrets(20)),
    ...(await secrets(1, 'app-other')).map((object) => ({ ...object, path: 'other' })),
  ]
  const attributes = await vault.attributes(freshPod(), objects)
  const mark = vault.bao.auditMark()
  const { files } = await fixture.driver.mount({ attributes })
  t.equal(files.size, 23)
  t.equal(String(files.get('s/19')?.contents), 'value 19')
  t.same(podRequests(vault, mark).toSorted(), [
    READ,
    LOGIN,
    DECRYPT,
    'update transit/decrypt/app-other',
  ])
})

void test('an unchanged republish sends no request to Vault and returns the same content and versions', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const attributes = await vault.attributes(freshPod(), [PUBLIC, ...(await secrets(4))])
  const first = await fixture.driver.mount({ attributes })
  const mark = vault.bao.auditMark()
  for (let round = 0; round < 5; round += 1)
    t.same(await fixture.driver.mount({ attributes }), first)
  t.same(podRequests(vault, mark), [])
})

void test('identical Mounts at the same time run once, and each receives all content', async (t) => {
  const fixture = await startFixture(vault, { revalidateAfterMs: 0 })
  t.teardown(fixture.stop)
  const attributes = await vault.attributes(freshPod(), [PUBLIC, ...(await secrets(3))])
  const mark = vault.bao.auditMark()
  const all = await Promise.all(
    Array.from({ length: 10 }, () => fixture.driver.mount({ attributes })),
  )
  for (const { files } of all) t.equal(String(files.get('s/2')?.contents), 'value 2')
  t.same(podRequests(vault, mark).toSorted(), [READ, LOGIN, DECRYPT])
})

void test('pods of one service account share key metadata after a login each, and never share decrypted values', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const { serviceAccount } = freshPod()
  const [value] = await secrets(1)
  const mark = vault.bao.auditMark()
  for (let pod = 0; pod < 5; pod += 1) {
    const attributes = await vault.attributes(newPod({ serviceAccount }), [PUBLIC, value ?? {}])
    await fixture.driver.mount({ attributes })
  }
  const requests = podRequests(vault, mark)
  t.equal(requests.filter((request) => request === LOGIN).length, 5)
  t.equal(requests.filter((request) => request === READ).length, 1)
  t.equal(requests.filter((request) => request === DECRYPT).length, 5)
})

void test('a pod that Vault does not let read a key does not receive what another pod has read', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  await vault.enableRole('blind', 'path "transit/keys/app-other" { capabilities = ["read"] }')
  await fixture.driver.mount({ attributes: await vault.attributes(freshPod(), [PUBLIC]) })
  const mark = vault.bao.auditMark()
  const attributes = await vault.attributes(freshPod(), [PUBLIC], { role: 'blind' })
  t.match(await failure(fixture.driver.mount({ attributes })), {
    code: 'PERMISSION_DENIED',
    message:
      /^objects\[0\] \(a\.pem\): Vault denies this to role blind: .*permission denied.*; a policy of that role must allow read on transit\/keys\/app-signing$/,
  })
  t.match(podRequests(vault, mark), [LOGIN, READ], 'Vault itself was asked')
})

void test('after a permission is removed in Vault, metadata and decrypted values are refused after revalidateAfter', async (t) => {
  const clock = new SkippingClock()
  const fixture = await startFixture(vault, { clock })
  t.teardown(fixture.stop)
  const policy = (rights: string) => `
    path "transit/keys/app-signing" { capabilities = ["${rights}"] }
    path "transit/decrypt/app-data" { capabilities = ["${rights === 'read' ? 'update' : 'deny'}"] }`
  await vault.enableRole('passing', policy('read'))
  const objects = [PUBLIC, ...(await secrets(1))]
  const attributes = await vault.attributes(freshPod(), objects, { role: 'passing' })
  await fixture.driver.mount({ attributes })
  await vault.enableRole('passing', policy('deny'))
  clock.skip(20_000)
  await t.resolves(fixture.driver.mount({ attributes }), 'no request within the refresh interval')
  clock.skip(600_000)
  const mark = vault.bao.auditMark()
  const refusal = await failure(fixture.driver.mount({ attributes }))
  t.match(refusal, {
    code: 'PERMISSION_DENIED',
    message: /\(1\) objects\[0\] .* \(2\) objects\[1\]/,
  })
  t.ok(podRequests(vault, mark).includes(DECRYPT), 'Vault decided again')
})

void test('with revalidateAfter 0 every Mount asks Vault', async (t) => {
  const fixture = await startFixture(vault, { revalidateAfterMs: 0 })
  t.teardown(fixture.stop)
  const attributes = await vault.attributes(freshPod(), await secrets(2))
  const mark = vault.bao.auditMark()
  await fixture.driver.mount({ attributes })
  await fixture.driver.mount({ attributes })
  t.same(podRequests(vault, mark), [LOGIN, DECRYPT, DECRYPT])
})

void test('a rotation is visible after the refresh interval and changes only objects that use the latest version of that key', async (t) => {
  const clock = new SkippingClock()
  const fixture = await startFixture(vault, { clock })
  t.teardown(fixture.stop)
  await vault.makeKey('turning', 'ecdsa-p256', { exportable: true })
  const objects = [
    { path: 'a', type: 'publicKey', key: 'turning' },
    { path: 'one', type: 'publicKey', key: 'turning', version: 1 },
    { path: 'jwks', type: 'jwks', key: 'turning' },
    { path: 'private', type: 'exportedKey', key: 'turning' },
    ...(await secrets(1)),
  ]
  const attributes = await vault.attributes(freshPod(), objects)
  const before = await fixture.driver.mount({ attributes })
  await rotateKey(vault.bao, 'turning')
  t.same((await fixture.driver.mount({ attributes })).versions, before.versions, 'not yet')
  clock.skip(31_000)
  const turned = await fixture.driver.mount({ attributes })
  for (const path of ['a', 'jwks', 'private']) {
    t.not(turned.versions.get(path), before.versions.get(path), path)
    t.notSame(turned.files.get(path), before.files.get(path), path)
  }
  for (const path of ['one', 's/0']) {
    t.equal(turned.versions.get(path), before.versions.get(path), path)
    t.same(turned.files.get(path), before.files.get(path), path)
  }
})

void test('a key that is deleted and created again changes object versions, although its version number is the same', async (t) => {
  const clock = new SkippingClock()
  const fixture = await startFixture(vault, { clock })
  t.teardown(fixture.stop)
  await vault.makeKey('recreated', 'ed25519')
  const attributes = await vault.attributes(freshPod(), [{ ...PUBLIC, key: 'recreated' }])
  const before = await fixture.driver.mount({ attributes })
  await deleteKey(vault.bao, 'recreated')
  await vault.makeKey('recreated', 'ed25519')
  clock.skip(31_000)
  const again = await fixture.driver.mount({ attributes })
  t.not(again.versions.get('a.pem'), before.versions.get('a.pem'))
})

void test('a token that expired within the leeway of Vault is served each time', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const pod = freshPod()
  const attributes = await vault.attributes(pod, [PUBLIC, ...(await secrets(1))], {
    'csi.storage.k8s.io/serviceAccount.tokens': await vault.tokens(pod, { expiresIn: -5 }),
  })
  for (let round = 0; round < 3; round += 1)
    t.equal((await fixture.driver.mount({ attributes })).files.size, 2)
})

void test('a class of keys with tens of thousands of versions is refused before all of them are read', async (t) => {
  const proxy = await HttpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const fixture = await startFixture(vault, { address: proxy.address })
  t.teardown(fixture.stop)
  const version = {
    creation_time: '2026-01-01T00:00:00Z',
    public_key: Buffer.alloc(32, 1).toString('base64'),
  }
  const keys = Object.fromEntries(Array.from({ length: 2_000 }, (_none, at) => [at + 1, version]))
  const data = { type: 'ed25519', latest_version: 2_000, min_decryption_version: 1, keys }
  for (let index = 0; index < 40; index += 1) {
    const name = `many-${String(index)}`
    const match = (_method: string, path: string) => path === `/v1/transit/keys/${name}`
    proxy.respond({ status: 200, body: { data: { ...data, name } } }, { match })
  }
  const mount = async (count: number) => {
    const objects = Array.from({ length: count }, (_none, index) => {
      return { path: String(index), type: 'publicKey', key: `many-${String(index)}` }
    })
    return fixture.driver.mount({ attributes: await vault.attributes(freshPod(), objects) })
  }
  t.equal((await mount(5)).files.size, 5)
  t.match(await failure(mount(40)), {
    code: 'FAILED_PRECONDITION',
    message: /^the keys of the class have more than 20,000 versions together; use several classes/,
  })
})

void test('a Mount in progress succeeds although its token expires', async (t) => {
  const proxy = await HttpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const fixture = await startFixture(vault, { address: proxy.address })
  t.teardown(fixture.stop)
  const pod = freshPod()
  await vault.makeKey('app-held', 'ed25519', { exportable: true })
  const objects = [{ path: 'key', type: 'exportedKey', key: 'app-held' }]
  const attributes = await vault.attributes(pod, objects, {
    // Expired by the clock of this host, but within Vault's leeway: the session ends at the expiry.
    'csi.storage.k8s.io/serviceAccount.tokens': await vault.tokens(pod, { expiresIn: 2 }),
  })
  // The export follows the held read, and is sent after the expiry.
  proxy.hold({ times: 1, match: (_method, path) => path.startsWith('/v1/transit/keys') })
  const mount = fixture.driver.mount({ attributes })
  await eventually('the session', () => fixture.provider.sessions.size === 1)
  await eventually('the expiry', () => fixture.provider.sessions.size === 0, { timeoutMs: 90_000 })
  t.equal((await mount).files.size, 1)
  await eventually('the end of the session', () => podRequests(vault, 0).includes(REVOKE))
})

void test('an hmac key that is deleted and created again changes the version, and only then', async (t) => {
  const clock = new SkippingClock()
  const fixture = await startFixture(vault, { clock })
  t.teardown(fixture.stop)
  await vault.makeKey('mac', 'hmac', { exportable: true, key_size: 32 })
  const objects = [
    { path: 'raw', type: 'exportedKey', key: 'mac' },
    { path: 'text', type: 'exportedKey', key: 'mac', encoding: 'base64' },
  ]
  const attributes = await vault.attributes(freshPod(), objects)
  const before = await fixture.driver.mount({ attributes })
  t.not(before.versions.get('raw'), before.versions.get('text'))
  clock.skip(600_000)
  t.same(await fixture.driver.mount({ attributes }), before)
  await deleteKey(vault.bao, 'mac')
  await vault.makeKey('mac', 'hmac', { exportable: true, key_size: 32 })
  clock.skip(600_000)
  const recreated = await fixture.driver.mount({ attributes })
  for (const path of ['raw', 'text']) {
    t.notSame(recreated.files.get(path), before.files.get(path))
    t.not(recreated.versions.get(path), before.versions.get(path))
  }
})

/** OpenBao has no such types. The proxy answers in its place, with the form of Vault's documentation. */
void test('keys of unknown types are refused by their type, not as a wrong Vault address', async (t) => {
  const proxy = await HttpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const fixture = await startFixture(vault, { address: proxy.address })
  t.teardown(fixture.stop)
  const created = { creation_time: '2026-01-01T00:00:00Z', public_key: 'bm90IGEgUEVN' }
  for (const [type, keys] of [
    ['ml-dsa', { 1: created }],
    ['slh-dsa', { 1: created }],
    ['aes128-cmac', undefined],
    ['managed_key', { 1: created }],
  ] as const) {
    const key = `future-${type}`
    const data = { name: key, type, latest_version: 1, min_decryption_version: 1, keys }
    const match = (_method: string, path: string) => path === `/v1/transit/keys/${key}`
    proxy.respond({ status: 200, body: { data } }, { match })
    for (const object of ['publicKey', 'jwks', 'exportedKey']) {
      const attributes = await vault.attributes(freshPod(), [{ path: 'x', type: object, key }])
      t.match(
        await failure(fixture.driver.mount({ attributes })),
        { code: 'FAILED_PRECONDITION', message: `transit key ${key} has type ${type}, w` },
        `${object} of ${type}`,
      )
    }
    const info = await vault.attributes(freshPod(), [{ path: 'x', type: 'keyInfo', key }])
    const { files } = await fixture.driver.mount({ attributes: info })
    t.match(JSON.parse(String(files.get('x')?.contents)), { type, latestVersion: 1 })
  }
})

void test('a missing object is omitted if it is optional, otherwise it fails the Mount', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const gone = { path: 'gone.pem', type: 'publicKey', key: 'gone' }
  const value = {
    path: 'gone',
    type: 'decrypt',
    key: 'gone-too',
    ciphertext: await vault.encrypt('app-data', 'x'),
  }
  const optional = [gone, value].map((object) => ({ ...object, optional: true }))
  const attributes = await vault.attributes(freshPod(), [PUBLIC, ...optional])
  const { files, versions } = await fixture.driver.mount({ attributes })
  t.same([...files.keys()], ['a.pem'])
  t.same([...versions.keys()], ['a.pem'])
  const refusal = await failure(
    fixture.driver.mount({ attributes: await vault.attributes(freshPod(), [PUBLIC, gone, value]) }),
  )
  t.match(refusal, {
    code: 'NOT_FOUND',
    message:
      /\(1\) objects\[1\] \(gone\.pem\): Vault has no transit key gone at mount transit; correct .* \(2\) objects\[2\] \(gone\): Vault has no transit key gone-too/,
  })
  const nothing = await vault.attributes(freshPod(), optional)
  t.match(await failure(fixture.driver.mount({ attributes: nothing })), {
    code: 'NOT_FOUND',
    message: /^every object of the class is optional, and none of them exists/,
  })
})

void test('a decryption failure is reported for its object only', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const [good] = await secrets(1)
  const foreign = {
    path: 'foreign',
    type: 'decrypt',
    key: 'app-data',
    ciphertext: await vault.encrypt('app-other', 'x'),
  }
  await vault.makeKey('aged')
  const old = {
    path: 'old',
    type: 'decrypt',
    key: 'aged',
    ciphertext: await vault.encrypt('aged', 'x'),
  }
  await rotateKey(vault.bao, 'aged')
  await configKey(vault.bao, 'aged', { min_decryption_version: 2 })
  const attributes = await vault.attributes(freshPod(), [good ?? {}, foreign, old])
  const refusal = await failure(fixture.driver.mount({ attributes }))
  t.match(
    refusal.message,
    /\(1\) objects\[1\] \(foreign\): key app-data cannot decrypt it: .*message authentication failed/,
  )
  t.match(refusal.message, /\(2\) objects\[2\] \(old\): .*disallowed by policy \(too old\)/)
  t.notMatch(refusal.message, /objects\[0\]/)
})

void test('tokens in the secrets of the request are accepted (serviceAccountTokenInSecrets)', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const pod = freshPod()
  const tokens = 'csi.storage.k8s.io/serviceAccount.tokens'
  const attributes = await vault.attributes(pod, [PUBLIC], { [tokens]: undefined })
  const sent = JSON.stringify({ [tokens]: await vault.tokens(pod) })
  const { files } = await fixture.driver.mount({ attributes, secrets: sent })
  t.equal(files.size, 1)
})

void test('the secrets-store-sync-controller is served: it sends its own pod and an unbound token', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const pod = { ...freshPod(), name: 'secrets-store-sync-controller-0' }
  const attributes = await vault.attributes(pod, [PUBLIC, ...(await secrets(1))], {
    'csi.storage.k8s.io/serviceAccount.tokens': await vault.tokens(pod, { pod: null }),
    'csi.storage.k8s.io/ephemeral': undefined,
  })
  const { files } = await fixture.driver.mount({ attributes, secrets: '{}' })
  t.equal(files.size, 2)
})

void test('a login that Vault refuses is reported with advice', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const attributes = await vault.attributes(freshPod(), [PUBLIC], { role: 'no-such-role' })
  t.match(await failure(fixture.driver.mount({ attributes })), {
    code: 'PERMISSION_DENIED',
    message:
      /role "no-such-role" was refused: .*could not be found.*; create that role in Vault or correct the role of the SecretProviderClass/,
  })
})

void test('Vault tokens are revoked when the provider ends', async (t) => {
  const fixture = await startFixture(vault)
  await fixture.driver.mount({ attributes: await vault.attributes(freshPod(), [PUBLIC]) })
  const mark = vault.bao.auditMark()
  await fixture.stop()
  t.same(podRequests(vault, mark), [REVOKE])
})

void test('during an outage a Mount fails with the cause instead of returning no files, and works again afterwards', async (t) => {
  const clock = new SkippingClock()
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const fixture = await startFixture(vault, { clock, address: proxy.address })
  t.teardown(fixture.stop)
  const attributes = await vault.attributes(freshPod(), [PUBLIC])
  const before = await fixture.driver.mount({ attributes })
  await proxy.refuse()
  t.same(await fixture.driver.mount({ attributes }), before, 'recent content needs no request')
  clock.skip(31_000)
  const refused = await failure(fixture.driver.mount({ attributes }))
  t.match(refused, { code: 'FAILED_PRECONDITION', message: /Vault at http.*/ })
  const newcomer = await vault.attributes(freshPod(), [PUBLIC])
  t.match(await failure(fixture.driver.mount({ attributes: newcomer })), {
    code: 'FAILED_PRECONDITION',
  })
  t.ok(Number(fixture.provider.ledger.summary().oldestMs) >= 31_000, 'the age of the content grows')
  t.match(fixture.lines.map(({ msg }) => msg).join('\n'), /\(the pod keeps its files\): Vault at/)
  await proxy.pass()
  clock.skip(10_000)
  t.same(await fixture.driver.mount({ attributes }), before)
  t.ok((await fixture.driver.mount({ attributes: newcomer })).files.size > 0)
  t.ok(Number(fixture.provider.ledger.summary().oldestMs) < 31_000)
})

void test('the policy vault-policies/csi.hcl suffices for every object type and allows no other key', async (t) => {
  const { renderPolicy } = await import('../real/vault/transit-setup.ts')
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  await vault.makeKey('app-exported', 'aes256-gcm96', { exportable: true })
  await vault.enableRole('policy-file', await renderPolicy('csi.hcl'))
  const wrapped = await vault.bao.api('POST', 'transit/datakey/plaintext/app-data', {})
  const objects = [
    PUBLIC,
    { path: 'jwks', type: 'jwks', key: 'app-signing' },
    { path: 'info', type: 'keyInfo', key: 'app-signing' },
    { path: 'dek', type: 'dataKey', key: 'app-data', wrapped: wrapped.data.ciphertext },
    ...(await secrets(2)),
    { path: 'exported', type: 'exportedKey', key: 'app-exported' },
    { path: 'all', type: 'exportedKey', key: 'app-exported', version: 'all' },
  ]
  const attributes = await vault.attributes(freshPod(), objects, { role: 'policy-file' })
  t.equal((await fixture.driver.mount({ attributes })).files.size, 8)
  const other = await vault.attributes(freshPod(), await secrets(1, 'app-other'), {
    role: 'policy-file',
  })
  t.match(await failure(fixture.driver.mount({ attributes: other })), { code: 'PERMISSION_DENIED' })
})

void test('Version reports the provider and its version', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  t.match(await fixture.driver.version(), {
    version: 'v1alpha1',
    runtimeName: 'transit-bridge',
    runtimeVersion: '1.2.3',
  })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
