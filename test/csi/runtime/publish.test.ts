import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import { after, end, test } from 'tap'

import { Identity, Node } from '../../../src/gen/csi/v1/csi_pb.ts'
import { Registration } from '../../../src/gen/kubelet/pluginregistration/registration_pb.ts'
import { DEAD_SOCKET, makeFolderBeside } from '../../../src/grpc/private-folder.ts'
import { TcpProxy } from '../../real/faults/tcp-proxy.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { GrpcClient } from '../../real/program/grpc-client.ts'
import { failure } from '../fixture.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import {
  ALLOW_RUNTIME,
  DRIVER,
  RUNTIME_POLICY,
  startRuntime,
  type PublishChange,
} from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)
const runtime = await startRuntime(vault, {
  rules: [
    { ...ALLOW_RUNTIME, namespaces: ['shop'] },
    { ...ALLOW_RUNTIME, namespaces: ['files'], types: ['publicKey'], operations: undefined },
  ],
})
after(() => runtime.stop())
const { kubelet } = runtime

void test('the driver identifies itself to the kubelet', async (t) => {
  const info = await kubelet.client.call(Identity.method.getPluginInfo, {})
  t.match(info, { name: DRIVER, vendorVersion: '1.2.3' })
  t.match(await kubelet.client.call(Identity.method.probe, {}), { ready: true })
  t.match(await kubelet.client.call(Node.method.nodeGetInfo, {}), { nodeId: 'node-1' })
  const node = await kubelet.client.call(Node.method.nodeGetCapabilities, {})
  t.same(node.capabilities, [])
  const registration = new GrpcClient(runtime.registrationSocket, 5_000)
  t.teardown(() => registration.close())
  const found = await registration.call(Registration.method.getInfo, {})
  t.match(found, { type: 'CSIPlugin', name: DRIVER, supportedVersions: ['1.0.0'] })
  await registration.call(Registration.method.notifyRegistrationStatus, {
    pluginRegistered: false,
    error: 'a driver with this name exists',
  })
  t.match(runtime.lines.at(-1)?.msg, /did not register .*: a driver with this name exists/)
})

void test('a volume is a folder with a socket for every user of the pod, and nothing else', async (t) => {
  const pod = newPod()
  await kubelet.publish(pod)
  const target = kubelet.targetOf(pod)
  t.same(readdirSync(target), ['vault.sock'])
  t.equal(statSync(target).mode & 0o777, 0o755)
  t.equal(statSync(`${target}/vault.sock`).mode & 0o777, 0o666)
  await kubelet.unpublish(pod)
  t.notOk(existsSync(target))
  await kubelet.unpublish(pod)
  t.pass('a volume that is gone can be unpublished again')
})

const REFUSED: readonly [string, PublishChange & { pod?: object }, string, RegExp][] = [
  ['a volume that is writable', { readonly: false }, 'INVALID_ARGUMENT', /readOnly: true/],
  ['a block device', { isBlock: true }, 'INVALID_ARGUMENT', /not a block device/],
  ['no capability', { withoutCapability: true }, 'INVALID_ARGUMENT', /capability is missing/],
  ['no volume id', { volumeId: '' }, 'INVALID_ARGUMENT', /volume id is missing/],
  ['a long volume id', { volumeId: 'x'.repeat(129) }, 'INVALID_ARGUMENT', /too long/],
  ['no target', { targetPath: '' }, 'INVALID_ARGUMENT', /target path is missing/],
  ['a relative target', { targetPath: 'a/b' }, 'INVALID_ARGUMENT', /not a normalized/],
  ['a target with ..', { targetPath: '/tmp/../etc' }, 'INVALID_ARGUMENT', /not a normalized/],
  ['the root as target', { targetPath: '/' }, 'INVALID_ARGUMENT', /not a normalized/],
  ['a persistent volume', attribute('ephemeral', undefined), 'INVALID_ARGUMENT', /inline volumes/],
  ['no pod', attribute('pod.name', undefined), 'INVALID_ARGUMENT', /podInfoOnMount/],
  ['no role', { attributes: { role: undefined } }, 'INVALID_ARGUMENT', /role is missing/],
  [
    'a role with a slash',
    { attributes: { role: '../x' } },
    'INVALID_ARGUMENT',
    /not a valid Vault/,
  ],
  ['a misspelled attribute', { attributes: { rloe: 'x' } }, 'INVALID_ARGUMENT', /no "rloe"/],
  [
    'no tokens',
    attribute('serviceAccount.tokens', undefined),
    'UNAUTHENTICATED',
    new RegExp(`CSIDriver ${DRIVER}`),
  ],
  [
    'tokens that are no JSON',
    attribute('serviceAccount.tokens', 'x'),
    'UNAUTHENTICATED',
    /not a JSON object/,
  ],
  [
    'a namespace without a rule',
    { pod: { namespace: 'other' } },
    'PERMISSION_DENIED',
    /no rule matches namespace "other"/,
  ],
  [
    'a rule without operations',
    { pod: { namespace: 'files' } },
    'PERMISSION_DENIED',
    /has operations/,
  ],
  [
    'a Vault namespace without a rule',
    { attributes: { vaultNamespace: 'team-a' } },
    'PERMISSION_DENIED',
    /has operations in Vault namespace "team-a"/,
  ],
  ['a role that Vault refuses', { attributes: { role: 'none' } }, 'PERMISSION_DENIED', /role/],
]

for (const [name, { pod: facts, ...change }, code, words] of REFUSED) {
  void test(`${name} is refused when the pod starts, and leaves nothing behind`, async (t) => {
    const pod = newPod({ ...facts })
    const error = await failure(kubelet.publish(pod, change))
    t.equal(error.code, code, error.message)
    t.match(error.message, words)
    t.notOk(existsSync(kubelet.targetOf(pod)))
  })
}

void test("another pod's token is refused", async (t) => {
  const tokens = await vault.tokens(newPod({ serviceAccount: 'other' }))
  const error = await failure(kubelet.publish(newPod(), attribute('serviceAccount.tokens', tokens)))
  t.equal(error.code, 'UNAUTHENTICATED')
})

void test('tokens in secrets are found, as the kubelet sends them with serviceAccountTokenInSecrets', async (t) => {
  const pod = newPod()
  const tokens = await vault.tokens(pod)
  const socket = await kubelet.publish(pod, {
    ...attribute('serviceAccount.tokens', undefined),
    secrets: { 'csi.storage.k8s.io/serviceAccount.tokens': tokens },
  })
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
})

void test('tokens that a pod author writes into volumeAttributes do not replace those of the kubelet', async (t) => {
  const pod = newPod()
  const socket = await kubelet.publish(pod, {
    ...attribute('serviceAccount.tokens', 'of the author'),
    secrets: { 'csi.storage.k8s.io/serviceAccount.tokens': await vault.tokens(pod) },
  })
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
})

void test('a token that is not bound to a pod is refused: it would be valid after the pod is gone', async (t) => {
  const pod = newPod()
  const token = await vault.issuer.token({
    namespace: pod.namespace,
    name: pod.serviceAccount,
    audience: 'vault',
    pod: null,
  })
  const tokens = JSON.stringify({ vault: { token } })
  const error = await failure(kubelet.publish(pod, attribute('serviceAccount.tokens', tokens)))
  t.equal(error.code, 'UNAUTHENTICATED')
  t.match(error.message, /not bound to a pod/)
})

void test("a republish with the token of another pod or account changes nothing: the session of the volume's pod stays in use", async (t) => {
  const pod = newPod()
  const socket = await kubelet.publish(pod)
  const others = [newPod(), newPod({ serviceAccount: 'other' }), newPod({ namespace: 'other' })]
  for (const other of others)
    await kubelet.publish(pod, attribute('serviceAccount.tokens', await vault.tokens(other)))
  const since = vault.bao.auditMark()
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
  const requests = vault.bao.auditRequests({ since })
  t.same(
    requests.map(({ path }) => path),
    ['transit/random'],
    'no other login',
  )
})

void test('unpublishing a folder of something else removes nothing from it', async (t) => {
  const folder = tempFolder('other')
  const own = basename(await makeFolderBeside(join(tempFolder('name'), 'vault.sock')))
  const files = ['.config/a', '.bashrc', 'vault.sock', `${own}/s`]
  for (const name of ['.config', own]) mkdirSync(join(folder, name))
  for (const name of files) writeFileSync(join(folder, name), '')
  const error = await failure(
    kubelet.client.call(Node.method.nodeUnpublishVolume, {
      volumeId: 'csi-unknown',
      targetPath: folder,
    }),
  )
  t.match(error.message, /contains files that are not from this driver/)
  for (const name of files) t.ok(existsSync(join(folder, name)), name)
})

void test('unpublishing removes the folder of a start that was killed, with the sockets that it can contain', async (t) => {
  const targetPath = tempFolder('killed')
  const folder = await makeFolderBeside(join(targetPath, 'vault.sock'))
  for (const name of [basename(folder), DEAD_SOCKET]) await leaveSocket(join(folder, name))
  await kubelet.client.call(Node.method.nodeUnpublishVolume, { volumeId: 'csi-killed', targetPath })
  t.notOk(existsSync(targetPath))
})

/** Leaves a socket without a server. */
async function leaveSocket(path: string): Promise<void> {
  const served = join(tempFolder('socket'), 's')
  const server = createServer().listen(served)
  await once(server, 'listening')
  renameSync(served, path)
  server.close()
}

const ODD_TARGETS: Readonly<Record<string, (target: string) => void>> = {
  'a symbolic link to another folder': (target) => symlinkSync(tempFolder('elsewhere'), target),
  'a file': (target) => writeFileSync(target, ''),
}

for (const [name, create] of Object.entries(ODD_TARGETS)) {
  void test(`a target path that is ${name} is refused`, async (t) => {
    const pod = newPod()
    create(kubelet.targetOf(pod))
    const error = await failure(kubelet.publish(pod))
    t.match(error.message, /is not a folder/)
  })
}

void test('a target path of more than 107 bytes is served', async (t) => {
  const pod = newPod()
  const targetPath = join(tempFolder('long'), 'x'.repeat(200))
  await kubelet.publish(pod, { targetPath })
  t.same(readdirSync(targetPath), ['vault.sock'])
})

void test('a republish never fails: the pod keeps its socket and its last token', async (t) => {
  const pod = newPod()
  const socket = await kubelet.publish(pod)
  await kubelet.publish(pod, attribute('serviceAccount.tokens', 'x'))
  t.match(runtime.lines.at(-1)?.msg, /keeps its old token/)
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
  await kubelet.publish(pod)
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
})

void test('a pod starts during an outage of Vault, and its requests get 503 until Vault is back', async (t) => {
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const offline = await startRuntime(vault, { address: proxy.address })
  t.teardown(() => offline.stop())
  await proxy.refuse()
  const socket = await offline.kubelet.publish(newPod())
  const refused = await socket.ask('transit/random', { body: {} })
  t.equal(refused.status, 503, refused.text)
  t.equal(refused.headers['retry-after'], '1')
  t.equal((await socket.ask('sys/health')).status, 503)
  await proxy.pass()
  const answers = async () => (await socket.ask('transit/random', { body: {} })).status === 200
  const { eventually } = await import('../../real/host/eventually.ts')
  await eventually('an answer after the outage', answers)
  t.equal((await socket.ask('sys/health')).status, 200)
})

function attribute(name: string, value: string | undefined): PublishChange {
  return { attributes: { [`csi.storage.k8s.io/${name}`]: value } }
}

// Explicit, because the open socket keeps tap waiting for more tests.
end()
