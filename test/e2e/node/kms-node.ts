// What tests of the KMS plugin on a real node share: its Vault, helm, what etcd holds, and power cuts.
import type { Test } from 'tap'
import { buildProgram } from '../../commands/program.ts'
import { CHART } from '../../real/cluster/helm.ts'
import { KubeNode } from '../../real/cluster/kube-node.ts'
import { buildImageArchive, IMAGE } from '../../real/cluster/node-image.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { obtain } from '../../real/host/parts.ts'
import { forwardSocket } from '../../real/host/socket-forward.ts'
import {
  enableJwtLogin,
  enableTransit,
  makeKey,
  renderPolicy,
  writePolicy,
} from '../../real/vault/transit-setup.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'

export const NAMESPACE = 'transit-bridge'
export const SECRETS = '/api/v1/namespaces/default/secrets'
export const VALUE = Buffer.from('correct horse').toString('base64')
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
  const server = await forwardSocket(node.vaultSocket, port)
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

export async function startNode(t: Test): Promise<KubeNode> {
  return (await startNodeWithVault(t)).node
}

export async function startNodeWithVault(t: Test): Promise<{ node: KubeNode; bao: OpenBao }> {
  buildProgram()
  const node = await KubeNode.start(await buildImageArchive())
  t.teardown(() => node.stop())
  return { node, bao: await startVault(t, node) }
}

export async function runHelm(node: KubeNode, ...args: string[]): Promise<string> {
  const program = node.run('helm', await obtain('helm'), [...args, `--namespace=${NAMESPACE}`])
  await program.finished()
  return program.output()
}

export function install(node: KubeNode, ...settings: string[]): Promise<string> {
  const set = [...SETTINGS, ...settings].map((setting) => `--set=${setting}`)
  const release = ['transit-bridge', CHART, '--create-namespace', ...set]
  return runHelm(node, 'upgrade', '--install', ...release)
}

export async function waitForDaemonSet(node: KubeNode, name: string): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/${name}`
  await node.waitUntil(`${name} to be ready`, async () => {
    const { metadata, status } = await node.api('GET', path)
    const isSeen = status.observedGeneration === metadata.generation
    return isSeen && status.updatedNumberScheduled === 1 && status.numberReady === 1
  })
}

export async function writeSecret(node: KubeNode, name: string): Promise<void> {
  await node.api('POST', SECRETS, { metadata: { name }, data: { password: VALUE } })
}

/** The bytes of an object as etcd holds them; its place is the key below /registry. */
export async function stored(node: KubeNode, place: string): Promise<string> {
  const key = Buffer.from(`/registry/${place}`).toString('base64')
  const script = `fetch('http://127.0.0.1:2379/v3/kv/range', {method: 'POST', body: '{"key":"${key}"}'})
    .then((answer) => answer.json()).then(({kvs}) => console.log('value:' + kvs[0].value))`
  const name = `etcd-${place.replaceAll('/', '-')}`
  const program = node.run(name, process.execPath, ['-e', script])
  await program.finished()
  const [, value = ''] = /value:(\S+)/.exec(program.output()) ?? []
  return Buffer.from(value, 'base64').toString('latin1')
}

/** Cuts the power, starts the node alone, and waits until its API server is ready; returns the number of seconds. */
export async function cutAndComeBack(node: KubeNode): Promise<number> {
  await node.cutPower()
  const start = performance.now()
  node.powerOn()
  await node.waitReady()
  return (performance.now() - start) / 1000
}

/** From the next boot on these resources are encrypted by the plugin of the node. */
export function writeEncryption(node: KubeNode, resources?: string[]): void {
  const provider = kms('/run/transit-bridge/kms.sock')
  node.writeEncryptionConfig(encryptionConfig([provider, identity], resources))
}
