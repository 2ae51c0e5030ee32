import { after, end, test } from 'tap'
import { HttpProxy, type HttpAnswer } from '../../real/faults/http-proxy.ts'
import { failure, podRequests, startFixture } from '../fixture.ts'
import { newPod, PodVault } from '../pod-vault.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
after(async () => {
  await fixture.stop()
  await vault.stop()
})
await vault.makeKey('app-tls', 'rsa-2048', { exportable: true })
await vault.makeKey('app-data')
await vault.makeKey('app-mac', 'hmac', { exportable: true, key_size: 32 })
const rotate = (key: string) => vault.bao.api('POST', `transit/keys/${key}/rotate`, {})
for (let version = 2; version <= 8; version += 1) await rotate('app-tls')
await rotate('app-mac')

function exportsSince(mark: number): string[] {
  return podRequests(vault, mark).filter((request) => request.includes('/export/'))
}

void test('a class with 100 objects that export one key is refused after one export, with the reason', async (t) => {
  const objects = Array.from({ length: 100 }, (_none, index) => ({
    path: `key-${String(index)}`,
    type: 'exportedKey',
    key: 'app-tls',
    version: 'all',
  }))
  const mark = vault.bao.auditMark()
  const attributes = await vault.attributes(newPod(), objects)
  t.match(await failure(fixture.driver.mount({ attributes })), {
    code: 'FAILED_PRECONDITION',
    message: /^the volume would have at least 1\d{3} KiB, more than 1024 KiB; split its objects/,
  })
  t.same(exportsSince(mark), ['read transit/export/signing-key/app-tls'])
})

void test('objects with the same version of a key share an export, and each has its encoding', async (t) => {
  const object = { type: 'exportedKey', key: 'app-mac' }
  const mark = vault.bao.auditMark()
  const attributes = await vault.attributes(newPod(), [
    { ...object, path: 'raw' },
    { ...object, path: 'hex', encoding: 'hex' },
    { ...object, path: 'base64', encoding: 'base64' },
    { ...object, path: 'first', version: 1 },
    { ...object, path: 'all', version: 'all' },
  ])
  const { files } = await fixture.driver.mount({ attributes })
  const read = (path: string) => files.get(path)?.contents ?? Buffer.alloc(0)
  t.equal(read('raw').length, 32)
  t.equal(read('hex').toString(), read('raw').toString('hex'))
  t.equal(read('base64').toString(), read('raw').toString('base64'))
  t.notSame(read('first'), read('raw'))
  t.same(read('all/1'), read('first'))
  t.same(read('all/2'), read('raw'))
  t.same(exportsSince(mark).toSorted(), [
    'read transit/export/hmac-key/app-mac',
    'read transit/export/hmac-key/app-mac/1',
    'read transit/export/hmac-key/app-mac/2',
  ])
})

void test('an object in a wrong encoding does not fail the others that share its export', async (t) => {
  const object = { type: 'exportedKey', key: 'app-mac' }
  const attributes = await vault.attributes(newPod(), [
    { ...object, path: 'good' },
    { ...object, path: 'text', encoding: 'utf8' },
  ])
  const { message } = await failure(fixture.driver.mount({ attributes }))
  t.match(message, /^objects\[1\] \(text\): the value is not UTF-8 text/)
})

void test('the reason is in the message, no matter how many objects fail and how long their paths are', async (t) => {
  const ciphertext = await vault.encrypt('app-data', 'x')
  const paths = Array.from({ length: 100 }, (_none, index) => `${'x'.repeat(200)}/${String(index)}`)
  const publicKeys = paths.map((path) => ({ path, type: 'publicKey', key: 'app-none' }))
  const values = paths.map((path) => ({ path, type: 'decrypt', key: 'app-none', ciphertext }))
  const messageOf = async (objects: readonly object[]) => {
    const attributes = await vault.attributes(newPod(), objects)
    return (await failure(fixture.driver.mount({ attributes }))).message
  }
  const noKey =
    /^\(1\) objects\[0\] \(x{80}…\): Vault has no transit key app-none at .* \(2\) objects\[1\]/
  t.match(await messageOf(publicKeys), noKey)
  t.match(
    await messageOf(values),
    /^objects\[0\] \(x{80}…\), (?:.*, ){2}objects\[3\] \(x{80}…\) and 96 more: Vault has no transit key app-none/,
  )
})

for (const [what, version, answer] of [
  [
    'does not know the version yet',
    'latest',
    { status: 400, body: { errors: ['version does not exist or cannot be found'] } },
  ],
  ['does not know the key yet', 'latest', { status: 404, body: { errors: [] } }],
  ['exports fewer versions than it showed', 'all', { status: 200, body: { data: { keys: {} } } }],
] satisfies [string, string, HttpAnswer][]) {
  void test(`an optional file is not removed because a node of Vault ${what}`, async (t) => {
    const proxy = await HttpProxy.start(vault.bao.address)
    const behind = await startFixture(vault, { address: proxy.address })
    t.teardown(async () => {
      await behind.stop()
      await proxy.stop()
    })
    proxy.respond(answer, { match: (_method, path) => path.includes('/export/') })
    const object = { type: 'exportedKey', key: 'app-mac', version, optional: true }
    const attributes = await vault.attributes(newPod(), [
      { ...object, path: 'mac' },
      { path: 'info', type: 'keyInfo', key: 'app-mac' },
    ])
    t.match(await failure(behind.driver.mount({ attributes })), {
      code: 'FAILED_PRECONDITION',
      message: /^Vault showed version [12] of transit key app-mac, but did not export it/,
    })
    t.same([...behind.provider.ledger.summary().failing], [['outage', 1]])
    proxy.clear()
    t.ok((await behind.driver.mount({ attributes })).files.size > 1)
  })
}

void test('a soft-deleted key is not served from the cache', async (t) => {
  await vault.makeKey('app-soft', 'aes256-gcm96', { exportable: true })
  const fresh = await startFixture(vault, { refreshIntervalMs: 0 })
  t.teardown(() => fresh.stop())
  const object = { path: 'key', type: 'exportedKey', key: 'app-soft' }
  const attributes = await vault.attributes(newPod(), [object])
  t.ok((await fresh.driver.mount({ attributes })).files.has('key'))
  const deleted = await vault.bao.request('DELETE', 'transit/keys/app-soft/soft-delete')
  if (deleted.status >= 400) {
    t.comment('only OpenBao deletes softly')
    return
  }
  t.match(await failure(fresh.driver.mount({ attributes })), {
    code: 'NOT_FOUND',
    message: /transit key app-soft is soft-deleted/,
  })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
