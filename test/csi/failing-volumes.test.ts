import { create, toBinary } from '@bufbuild/protobuf'
import { after, end, test } from 'tap'
import { MountRequestSchema } from '../../src/gen/csi/v1alpha1/service_pb.ts'
import { GrpcClient } from '../real/program/grpc-client.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { failure, podRequests, startFixture, type FixtureOptions } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('app-signing', 'ed25519')

const PUBLIC = { path: 'a.pem', type: 'publicKey', key: 'app-signing' }
const MISSING = { path: 'missing', type: 'publicKey', key: 'app-none' }
const MISSPELT = { path: 'a.pem', type: 'publicKey', key: 'app-signing', vrsion: 1 }

async function startPlugin(options: FixtureOptions = {}) {
  const plugin = await startFixture(vault, options)
  return {
    ...plugin,
    failing: () => Object.fromEntries(plugin.provider.ledger.summary().failing),
    summary: () => plugin.provider.ledger.summary(),
  }
}

void test('a class that becomes invalid in an edit makes its existing volume a failing one', async (t) => {
  const plugin = await startPlugin()
  t.teardown(plugin.stop)
  const pod = newPod()
  await plugin.driver.mount({ attributes: await vault.attributes(pod, [PUBLIC]) })
  t.same(plugin.failing(), {})
  const edited = await vault.attributes(pod, [MISSPELT])
  t.match(await failure(plugin.driver.mount({ attributes: edited })), { code: 'INVALID_ARGUMENT' })
  t.same(plugin.failing(), { CLASS_INVALID: 1 })
  t.equal(plugin.summary().volumes, 1)
  t.ok(Number(plugin.summary().oldestMs) > 0, 'the volume still has the content from before')
  t.match(plugin.lines.at(-1)?.msg, /failed \(the pod keeps its files\)/)
  await plugin.driver.mount({ attributes: await vault.attributes(pod, [PUBLIC]) })
  t.same(plugin.failing(), {})
})

void test('a class that is edited beyond the limits of a request makes its existing volume a failing one', async (t) => {
  const plugin = await startPlugin()
  t.teardown(plugin.stop)
  const pod = newPod()
  const tooMany = Object.fromEntries(
    Array.from({ length: 2_001 }, (_none, index) => [`p${String(index)}`, '']),
  )
  for (const edit of [
    await vault.attributes(pod, 'x'.repeat(1024 * 1024)),
    await vault.attributes(pod, [PUBLIC], tooMany),
  ]) {
    await plugin.driver.mount({ attributes: await vault.attributes(pod, [PUBLIC]) })
    t.same(plugin.failing(), {})
    t.match(await failure(plugin.driver.mount({ attributes: edit })), { code: 'INVALID_ARGUMENT' })
    t.same(plugin.failing(), { REQUEST_INVALID: 1 })
    t.equal(plugin.summary().volumes, 1)
    t.match(plugin.lines.at(-1)?.msg, /the volume of pod shop\/web-0 failed \(the pod keeps/)
  }
})

void test('a request that is too large to be decoded makes its existing volume a failing one', async (t) => {
  const plugin = await startPlugin()
  t.teardown(plugin.stop)
  const pod = newPod()
  const attributes = await vault.attributes(pod, [PUBLIC])
  const large = 'x'.repeat(5 * 1024 * 1024)
  for (const edit of [
    { attributes: await vault.attributes(pod, large) },
    { attributes: await vault.attributes(pod, [PUBLIC], { note: large }) },
    { attributes, secrets: JSON.stringify({ note: large }) },
  ]) {
    await plugin.driver.mount({ attributes })
    t.same(plugin.failing(), {})
    t.match(await failure(plugin.driver.mount(edit)), {
      code: 'INVALID_ARGUMENT',
      message: /\(.* the volumeAttributes of the pod, and the Secret in .*\) is longer than 4 MiB/,
    })
    t.same(plugin.failing(), { REQUEST_INVALID: 1 })
    t.equal(plugin.summary().volumes, 1)
    t.match(plugin.lines.at(-1)?.msg, /the volume of pod shop\/web-0 failed \(the pod keeps/)
  }
})

void test('a large text that no driver sent counts for no volume', async (t) => {
  const plugin = await startPlugin()
  t.teardown(plugin.stop)
  const client = new GrpcClient(plugin.socket, 60_000)
  t.teardown(() => client.close())
  const quotedOwner = await vault.attributes(newPod(), [PUBLIC])
  const size = 5 * 1024 * 1024
  for (const message of [
    Buffer.alloc(size),
    Buffer.alloc(size, 0xff),
    Buffer.alloc(size, '\x0a\x00'),
    toBinary(
      MountRequestSchema,
      create(MountRequestSchema, {
        attributes: JSON.stringify({ note: quotedOwner.repeat(5_000) }),
      }),
    ),
  ])
    t.match(await failure(client.send('/v1alpha1.CSIDriverProvider/Mount', Buffer.from(message))), {
      code: 'INVALID_ARGUMENT',
    })
  t.equal(plugin.summary().volumes, 0)
})

void test('a Mount that is refused because of too much text in progress counts for its volume', async (t) => {
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const plugin = await startPlugin({ address: proxy.address })
  t.teardown(plugin.stop)
  await proxy.hang()
  const text = (note: string) => [{ ...PUBLIC, key: `app-${note}` }]
  const pods = Array.from({ length: 10 }, () => newPod())
  const padded = await Promise.all(
    pods.map((pod, index) =>
      vault.attributes(pod, `${JSON.stringify(text(String(index)))} #${'x'.repeat(250 * 1024)}`),
    ),
  )
  const waiting = padded.map((attributes) => plugin.driver.mount({ attributes }))
  const refused = await failure(Promise.race(waiting))
  t.match(refused, { code: 'FAILED_PRECONDITION', message: /too much SecretProviderClass text/ })
  t.ok(plugin.failing()['OVERLOADED'])
  const other = newPod({ namespace: 'bank' })
  const small = plugin.driver.mount({ attributes: await vault.attributes(other, [PUBLIC]) })
  await proxy.pass()
  t.ok((await small).files.size, 'another namespace has room')
  await Promise.allSettled(waiting)
})

void test('a ciphertext of a version that its key does not have is a fault of the class, not an outage', async (t) => {
  const plugin = await startPlugin()
  t.teardown(plugin.stop)
  await vault.makeKey('app-data')
  const good = await vault.encrypt('app-data', 'value')
  const object = { type: 'decrypt', key: 'app-data' }
  const later = { ...object, path: 'later', ciphertext: good.replace('vault:v1', 'vault:v9') }
  for (const others of [[], [{ ...object, path: 'good', ciphertext: good }]]) {
    const attributes = await vault.attributes(newPod(), [...others, later, MISSING])
    const { code, message } = await failure(plugin.driver.mount({ attributes }))
    t.equal(code, 'INVALID_ARGUMENT')
    t.match(message, /\(later\): key app-data cannot decrypt it: .*version is too new/)
    t.match(message, /\(missing\): Vault has no transit key app-none/, 'it hides no other fault')
  }
  t.same(plugin.failing(), { CIPHERTEXT_INVALID: 2 })
})

void test('a ciphertext that RSA cannot decrypt is a fault of the class, not an outage', async (t) => {
  const plugin = await startPlugin()
  t.teardown(plugin.stop)
  await vault.makeKey('app-rsa', 'rsa-2048')
  const ciphertext = `vault:v1:${Buffer.alloc(256, 1).toString('base64')}`
  const wrong = { type: 'decrypt', key: 'app-rsa', path: 'wrong', ciphertext }
  for (const others of [[], [{ ...wrong, path: 'also-wrong' }]]) {
    const mark = vault.bao.auditMark()
    const attributes = await vault.attributes(newPod(), [...others, wrong])
    const { code, message } = await failure(plugin.driver.mount({ attributes }))
    t.equal(code, 'INVALID_ARGUMENT')
    t.match(message, /\(wrong\): key app-rsa cannot decrypt it: .*failed to RSA decrypt/)
    const sent = podRequests(vault, mark).filter((request) => request.includes('/decrypt/'))
    t.equal(sent.length, 1, 'it is not sent again')
  }
  t.same(plugin.failing(), { CIPHERTEXT_INVALID: 2 })
})

void test('a provider that is restarted during an outage reports the volumes that it cannot serve', async (t) => {
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const pods = [newPod(), newPod()]
  const attributes = await Promise.all(pods.map((pod) => vault.attributes(pod, [PUBLIC])))
  const before = await startPlugin({ address: proxy.address })
  for (const each of attributes) await before.driver.mount({ attributes: each })
  await before.stop()
  await proxy.refuse()
  const restarted = await startPlugin({ address: proxy.address })
  t.teardown(restarted.stop)
  for (const each of attributes) await failure(restarted.driver.mount({ attributes: each }))
  t.same(restarted.failing(), { outage: 2 })
  t.match(
    restarted.lines.at(-1)?.msg,
    /\(a new pod cannot start yet; a running pod keeps its files\)/,
  )
})

void test('each kind of failure has its reason', async (t) => {
  const rule = { namespaces: ['shop'], serviceAccounts: ['web'], roles: ['*'], keys: ['app-*'] }
  const plugin = await startPlugin({ rules: [{ ...rule, types: ['publicKey'] }] })
  t.teardown(plugin.stop)
  const mounts = [
    await vault.attributes(newPod({ namespace: 'bank' }), [PUBLIC]),
    await vault.attributes(newPod(), [{ ...PUBLIC, key: 'app-none' }]),
    await vault.attributes(newPod(), [PUBLIC], { 'csi.storage.k8s.io/serviceAccount.tokens': 'x' }),
    await vault.attributes(newPod(), [PUBLIC], { role: 'no-such-role' }),
  ]
  for (const attributes of mounts) await failure(plugin.driver.mount({ attributes }))
  t.same(plugin.failing(), {
    RULE_DENIED: 1,
    OBJECT_MISSING: 1,
    POD_TOKEN_INVALID: 1,
    LOGIN_REFUSED: 1,
  })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
