// A whole control-plane node: helm install, ciphertext in etcd, and power cuts that it comes back from by itself.
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { buildProgram } from '../commands/program.ts'
import { CHART } from '../real/helm.ts'
import { KubeNode, whyNoNode } from '../real/kube-node.ts'
import { buildImageArchive, IMAGE } from '../real/node-image.ts'
import { OpenBao } from '../real/openbao.ts'
import { obtain } from '../real/parts.ts'
import {
  enableJwtLogin,
  enableTransit,
  makeKey,
  renderPolicy,
  writePolicy,
} from '../real/transit-setup.ts'
import { encryptionConfig, identity, kms } from './encryption-config.ts'

const NAMESPACE = 'transit-bridge'
const SECRETS = '/api/v1/namespaces/default/secrets'
const VALUE = Buffer.from('correct horse').toString('base64')
const MANIFEST = 'disk/etc/kubernetes/manifests/transit-bridge-kms.yaml'
const SETTINGS = [
  `image.repository=${IMAGE.repository}`,
  `image.tag=${IMAGE.tag}`,
  'image.pullPolicy=Never',
  'vault.address=http://127.0.0.1:8200',
  'kms.clusterId=node-test',
  'kms.staticPod.interval=2s',
]

/** A Vault that the node finds at 127.0.0.1:8200, that outlives its power cuts, and that cannot reach its API server. */
async function startVault(t: Test, node: KubeNode): Promise<OpenBao> {
  const bao = await OpenBao.start({ audit: true })
  t.teardown(() => bao.stop())
  const port = Number(new URL(bao.address).port)
  const server = createServer((inner) => {
    const outer = connect({ host: '127.0.0.1', port })
    inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
    outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
    inner.pipe(outer).pipe(inner)
  })
  await new Promise<void>((resolve) => server.listen(node.vaultSocket, resolve))
  t.teardown(() => server.close())
  await enableTransit(bao)
  await makeKey(bao, 'k8s-etcd')
  await writePolicy(bao, 'transit-bridge-kms', await renderPolicy('kms.hcl'))
  await enableJwtLogin(bao, {
    issuer: node.signer.issuer,
    publicKeysPem: [node.signer.publicKeyPem],
    audience: 'vault',
    subject: `system:serviceaccount:${NAMESPACE}:transit-bridge-kms`,
    role: 'transit-bridge-kms',
    policies: ['transit-bridge-kms'],
  })
  return bao
}

async function startNode(t: Test): Promise<KubeNode> {
  buildProgram()
  const node = await KubeNode.start(await buildImageArchive())
  t.teardown(() => node.stop())
  await startVault(t, node)
  return node
}

async function runHelm(node: KubeNode, ...args: string[]): Promise<string> {
  const program = node.run('helm', await obtain('helm'), [...args, `--namespace=${NAMESPACE}`])
  await program.finished()
  return program.output()
}

function install(node: KubeNode, ...settings: string[]): Promise<string> {
  const set = [...SETTINGS, ...settings].map((setting) => `--set=${setting}`)
  const release = ['transit-bridge', CHART, '--create-namespace', ...set]
  return runHelm(node, 'upgrade', '--install', ...release)
}

async function waitForDaemonSet(node: KubeNode, name: string): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/${name}`
  await node.waitUntil(`${name} to be ready`, async () => {
    const { metadata, status } = await node.api('GET', path)
    const isSeen = status.observedGeneration === metadata.generation
    return isSeen && status.updatedNumberScheduled === 1 && status.numberReady === 1
  })
}

async function writeSecret(node: KubeNode, name: string): Promise<void> {
  await node.api('POST', SECRETS, { metadata: { name }, data: { password: VALUE } })
}

/** The bytes of a Secret as etcd holds them. */
async function storedSecret(node: KubeNode, name: string): Promise<string> {
  const key = Buffer.from(`/registry/secrets/default/${name}`).toString('base64')
  const script = `fetch('http://127.0.0.1:2379/v3/kv/range', {method: 'POST', body: '{"key":"${key}"}'})
    .then((answer) => answer.json()).then(({kvs}) => console.log('value:' + kvs[0].value))`
  const program = node.run(`etcd-${name}`, process.execPath, ['-e', script])
  await program.finished()
  const [, value = ''] = /value:(\S+)/.exec(program.output()) ?? []
  return Buffer.from(value, 'base64').toString('latin1')
}

/** Cuts the power, starts the node alone, and waits until its API server is ready; gives the seconds that took. */
async function cutAndComeBack(node: KubeNode): Promise<number> {
  await node.cutPower()
  const start = performance.now()
  node.powerOn()
  await node.waitReady()
  return (performance.now() - start) / 1000
}

function writeEncryption(node: KubeNode): void {
  const provider = kms('/run/transit-bridge/kms.sock')
  node.writeEncryptionConfig(encryptionConfig([provider, identity]))
}

void t.test('static pod: a cluster that comes back by itself', { skip: whyNoNode() }, async (t) => {
  const node = await startNode(t)

  await t.test('helm install puts the plugin on the node, and helm test proves it', async (t) => {
    await install(node)
    await waitForDaemonSet(node, 'transit-bridge-kms-installer')
    t.ok(existsSync(join(node.folder, MANIFEST)))
    t.match(await runHelm(node, 'test', 'transit-bridge', '--logs'), /kms\.sock: ok, key id tb1-/)
  })

  await t.test('Secrets are ciphertext in etcd from then on', async (t) => {
    await writeSecret(node, 'before')
    writeEncryption(node)
    t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
    await writeSecret(node, 'after')
    t.match(await storedSecret(node, 'before'), /^k8s\0[^]*correct horse/)
    const stored = await storedSecret(node, 'after')
    t.match(stored, /^k8s:enc:kms:v2:transit-bridge:/)
    t.notMatch(stored, /correct horse/)
  })

  await t.test('after a power cut the API server reads them without any help', async (t) => {
    for (let count = 0; count < 2; count += 1) {
      t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
      t.equal((await node.api('GET', `${SECRETS}/after`)).data.password, VALUE)
    }
  })

  await t.test('helm uninstall leaves the plugin where an API server needs it', async (t) => {
    await waitForDaemonSet(node, 'transit-bridge-kms-installer')
    await runHelm(node, 'uninstall', 'transit-bridge', '--wait')
    t.ok(existsSync(join(node.folder, MANIFEST)))
    await cutAndComeBack(node)
    t.equal((await node.api('GET', `${SECRETS}/after`)).data.password, VALUE)
  })

  await t.test('with kms.removeOnUninstall it takes the plugin away', async (t) => {
    await install(node, 'kms.removeOnUninstall=true')
    await waitForDaemonSet(node, 'transit-bridge-kms-installer')
    await runHelm(node, 'uninstall', 'transit-bridge', '--wait')
    for (const path of [MANIFEST, 'disk/etc/transit-bridge/token'])
      t.notOk(existsSync(join(node.folder, path)), path)
  })
})
