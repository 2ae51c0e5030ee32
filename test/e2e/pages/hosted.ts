/**
 * docs/operations/hosted-control-planes.md, block by block as it is written there, on a clean host without a kubelet: two real API
 * servers with an etcd each are the management cluster and the tenant. The management cluster checks the pod; the test starts what the
 * sidecar's args say, with a token for the audience in the pod, and kubectl exec runs its command on the host.
 */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { ROOT } from '../../commands/program.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Program } from '../../real/program/program.ts'
import { onCleanHost, startApiServer, startVault, write } from '../node/clean-host.ts'
import { kubeconfigOf } from '../kube-config.ts'
import { installProgram, Reader } from './reader.ts'

type Token = { audience: string; path: string }
type Volume = { name: string; projected?: { sources: [{ serviceAccountToken: Token }] } }
type Spec = {
  serviceAccountName: string
  initContainers: [{ args: string[] }]
  containers: [{ args: string[] }]
  volumes: Volume[]
}

await onCleanHost(import.meta.filename, async (t) => {
  const [bao, etcd, tenantEtcd] = await Promise.all([startVault(t), Etcd.start(), Etcd.start()])
  t.teardown(() => Promise.all([etcd.stop(), tenantEtcd.stop()]))
  installProgram()
  const management = await startApiServer(t, etcd, await ServiceAccountIssuer.create())
  const reader = await Reader.open(
    t,
    'operations/hosted-control-planes.md',
    bao,
    kubeconfigOf(management),
  )
  const { administrator, folder } = reader
  const kubectl = await obtain('kubectl')
  administrator.has(
    'kubectl',
    `case "$*" in *' exec '*) ;; *) exec ${kubectl} "$@" ;; esac
while [ "$1" != verify ]; do shift; done
shift; exec transit-bridge verify "$@"`,
  )
  copyFileSync('/etc/transit-bridge/vault-ca.pem', join(folder, 'vault-ca.pem'))
  copyFileSync(kubeconfigOf(management), join(folder, 'management.kubeconfig'))
  const configuration = reader.block('example: configuration').text
  write(join(folder, 'plugin.yaml'), configuration)
  t.match(await reader.types('commands: setup'), /tenant-a/, '2: Vault is ready')
  await reader.types('commands: objects')

  const { spec } = parse(reader.block('example: pod').text) as { spec: Spec }
  const [container] = spec.containers
  const metadata = { name: 'kube-apiserver', namespace: 'tenant-a' }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { ...spec, containers: [{ ...container, image: 'kube-apiserver' }] },
  }
  write(join(folder, 'pod.yaml'), stringify(pod))
  const types = (text: string) => administrator.types({ language: 'sh', text })
  t.match(
    await types('kubectl apply -f pod.yaml --dry-run=server'),
    /created/,
    '4: the pod is valid',
  )
  const [source] = spec.volumes.flatMap(({ projected }) => projected?.sources ?? [])
  t.match(source, { serviceAccountToken: { path: 'token' } })
  const audience = source?.serviceAccountToken.audience ?? ''
  mkdirSync('/run/secrets/transit-bridge', { recursive: true })
  mkdirSync('/run/transit-bridge')
  await types(
    `kubectl -n tenant-a create token ${spec.serviceAccountName} --audience ${audience} > /run/secrets/transit-bridge/token`,
  )
  write('/etc/transit-bridge/config.yaml', configuration)
  write('/etc/kubernetes/encryption/config.yaml', readFileSync(join(folder, 'encryption.yaml')))
  const sidecar = Program.start({
    name: 'sidecar',
    command: join(ROOT, 'bin/transit-bridge'),
    args: spec.initContainers[0].args,
    folder: tempFolder('sidecar'),
  })
  t.teardown(() => sidecar.terminate())

  const tenant = await KubeApiServer.start({ etcd: tenantEtcd, extraArgs: container.args })
  t.teardown(() => tenant.stop())
  await tenant.createSecret('default', 'after', { password: 'correct horse' })
  copyFileSync(kubeconfigOf(tenant), join(folder, 'tenant.kubeconfig'))
  const verify = reader
    .block('commands: verify')
    .text.replace('http://127.0.0.1:2379', tenantEtcd.address)
  t.match(await types(verify), /ok: \d+ objects? read, nothing in plaintext/)
  const stored = await tenantEtcd.get('/registry/secrets/default/after')
  t.match(stored?.toString('latin1'), /^k8s:enc:kms:v2:transit-bridge:/)
})
