/**
 * docs/operations/helm.md, block by block as it is written there, on a real node: containerd and the kubelet, and etcd with TLS
 * and kube-apiserver as static pods. Added to its values: the image that the node has. The reader's computer is the node.
 */
import { readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { buildProgram, ROOT } from '../../commands/program.ts'
import { KubeNode, whyNoNode } from '../../real/cluster/kube-node.ts'
import { buildImageArchive, IMAGE } from '../../real/cluster/node-image.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { forwardSocket } from '../../real/host/socket-forward.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { cutAndComeBack, SECRETS, VALUE, writeSecret } from '../node/kms-node.ts'
import { Reader } from './reader.ts'

const VAULT = 'vault.example.com'
const API_SERVER = '/etc/kubernetes/manifests/kube-apiserver.yaml'

type Values = { vault: { caBundle: string } }
type Container = { command: string[]; volumeMounts: object[] }
type Pod = { spec: { containers: [Container]; volumes: object[] } }

/** A node, and OpenBao as https://vault.example.com:8200 for it. */
async function startHost(t: Test): Promise<{ node: KubeNode; reader: Reader }> {
  buildProgram()
  const authority = await CertificateAuthority.create('company CA')
  const bao = await OpenBao.start({ tls: await authority.server('vault', { names: [VAULT] }) })
  t.teardown(() => bao.stop())
  const node = await KubeNode.start(await buildImageArchive(), { isKubeadm: true })
  t.teardown(() => node.stop())
  const server = await forwardSocket(node.vaultSocket, bao.port)
  t.teardown(() => server.close())
  const reader = await Reader.open(t, 'operations/helm.md', bao, node.kubeconfig, node)
  reader.administrator.has('transit-bridge', `exec ${ROOT}/bin/transit-bridge "$@"`)
  symlinkSync(join(ROOT, 'helm'), join(reader.folder, 'helm'))
  writeFileSync(join(reader.folder, 'vault-ca.pem'), authority.caPem)
  await reader.runs(`
    echo '127.0.0.1 ${VAULT}' >> /etc/hosts
    cp ${node.kubeconfig} /etc/kubernetes/admin.conf
    mkdir ~/.kube
    cp ${node.kubeconfig} ~/.kube/config`)
  return { node, reader }
}

/** Writes the values of the page, with the certificate of Vault, and the image that the node has. */
function writeValues(reader: Reader): void {
  const { vault, ...values } = parse(reader.block('example: values').text) as Values
  const caBundle = readFileSync(join(reader.folder, 'vault-ca.pem'), 'utf8')
  const image = { ...IMAGE, pullPolicy: 'Never' }
  const text = stringify({ ...values, vault: { ...vault, caBundle }, image })
  writeFileSync(join(reader.folder, 'values.yaml'), text)
}

/** Adds what the page shows to the manifest of kube-apiserver, and waits until the kubelet runs it. */
async function editManifest(node: KubeNode, text: string): Promise<void> {
  const { spec: added } = parse(text) as Pod
  const [{ command, volumeMounts }] = added.containers
  const pod = parse(readFileSync(node.pathOf(API_SERVER), 'utf8')) as Pod
  const [container] = pod.spec.containers
  container.command.push(...command.slice(1))
  container.volumeMounts.push(...volumeMounts)
  pod.spec.volumes.push(...added.volumes)
  const unfinished = node.pathOf('/etc/kubernetes/kube-apiserver.new')
  writeFileSync(unfinished, stringify(pod))
  renameSync(unfinished, node.pathOf(API_SERVER))
  // The API server has this check only with an EncryptionConfiguration.
  await node.waitUntil('an API server with the plugin', async () => {
    const { status } = await node.request('GET', '/readyz/kms-providers')
    return status === 200
  })
  await node.waitReady()
}

void test('helm.md', { skip: whyNoNode() }, async (t) => {
  const { node, reader } = await startHost(t)
  await writeSecret(node, 'before')
  writeValues(reader)
  t.match(await reader.types('commands: install'), /STATUS: deployed/, '2: the chart is installed')
  t.match(await reader.types('commands: setup'), /k8s-etcd/, '3: Vault is ready')
  t.match(await reader.types('commands: wait'), /Phase: +Succeeded/, '4: helm test')

  t.match(await reader.types('commands: encryption'), /ok/, '5: the EncryptionConfiguration')
  await editManifest(node, reader.block('example: manifest').text)
  await writeSecret(node, 'after')

  const shown = await reader.types('commands: verify')
  const proved = /ok: \d+ objects read, nothing in plaintext that must be encrypted/
  t.match(shown, proved, '6: everything is encrypted')
  t.notMatch(shown, /^fail /m, '6: doctor finds nothing to fix')

  t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
  for (const name of ['before', 'after'])
    t.equal((await node.api('GET', `${SECRETS}/${name}`)).data.password, VALUE, name)
})
