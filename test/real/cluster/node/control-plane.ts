import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { CertificateAuthority } from '../../host/pki.ts'
import { IMAGE } from '../node-image.ts'

/** What etcd and kube-apiserver of a node need. */
export interface ControlPlane {
  /** The folder of the node: files of the API server, and its disk. */
  readonly folder: string
  readonly etcd: string
  readonly apiServer: string
  readonly tls: { readonly certFile: string; readonly keyFile: string }
  readonly address: string
  readonly serviceRange: string
  readonly issuer: string
  /** Whether etcd requires a client certificate, with the files of {@link PKI}, as that of kubeadm. */
  readonly hasSecureEtcd: boolean
}

/** kubeadm: cmd/kubeadm/app/apis/kubeadm/v1beta4/defaults.go. */
const PKI = '/etc/kubernetes/pki'

export function etcdCommand({ etcd, folder, hasSecureEtcd }: ControlPlane): readonly string[] {
  const url = 'https://127.0.0.1:2379'
  const security = [
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    '--client-cert-auth',
    `--trusted-ca-file=${PKI}/etcd/ca.crt`,
    `--cert-file=${PKI}/etcd/server.crt`,
    `--key-file=${PKI}/etcd/server.key`,
  ]
  const data = `--data-dir=${join(folder, 'disk/etcd')}`
  return [etcd, data, '--log-level=warn', ...(hasSecureEtcd ? security : [])]
}

function etcdClient({ hasSecureEtcd }: ControlPlane): readonly string[] {
  if (!hasSecureEtcd) return ['--etcd-servers=http://127.0.0.1:2379']
  return [
    '--etcd-servers=https://127.0.0.1:2379',
    `--etcd-cafile=${PKI}/etcd/ca.crt`,
    `--etcd-certfile=${PKI}/apiserver-etcd-client.crt`,
    `--etcd-keyfile=${PKI}/apiserver-etcd-client.key`,
  ]
}

/** Puts the files of etcd on the disk of the node, by the names of kubeadm (cmd/kubeadm/app/constants/constants.go). */
export async function writeEtcdFiles(folder: string): Promise<void> {
  const authority = await CertificateAuthority.create('etcd-ca')
  const server = await authority.server('etcd')
  const client = await authority.client('kube-apiserver-etcd-client')
  const pki = join(folder, 'disk', PKI)
  mkdirSync(join(pki, 'etcd'), { recursive: true })
  writeFileSync(join(pki, 'etcd/ca.crt'), authority.caPem)
  copyFileSync(server.certFile, join(pki, 'etcd/server.crt'))
  copyFileSync(server.keyFile, join(pki, 'etcd/server.key'))
  copyFileSync(client.certFile, join(pki, 'apiserver-etcd-client.crt'))
  copyFileSync(client.keyFile, join(pki, 'apiserver-etcd-client.key'))
}

export function apiServerCommand(given: ControlPlane): readonly string[] {
  const { folder, tls } = given
  const encryption = encryptionFile(folder)
  return [
    given.apiServer,
    ...etcdClient(given),
    '--bind-address=0.0.0.0',
    '--secure-port=443',
    `--advertise-address=${given.address}`,
    `--service-cluster-ip-range=${given.serviceRange}`,
    '--endpoint-reconciler-type=lease',
    `--tls-cert-file=${tls.certFile}`,
    `--tls-private-key-file=${tls.keyFile}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--service-account-issuer=${given.issuer}`,
    `--service-account-key-file=${join(folder, 'sa.pub')}`,
    `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--shutdown-delay-duration=0s',
    ...(existsSync(encryption) ? [`--encryption-provider-config=${encryption}`] : []),
  ]
}

export function encryptionFile(folder: string): string {
  return join(folder, 'encryption.yaml')
}

/**
 * Has the kubelet run etcd and kube-apiserver as static pods from the next boot on, as kubeadm does. Manifests that exist
 * stay as they are.
 */
export function writeStaticPods(given: ControlPlane): void {
  const folders = [given.folder, dirname(given.tls.certFile), ...(given.hasSecureEtcd ? [PKI] : [])]
  const manifests = join(given.folder, 'disk/etc/kubernetes/manifests')
  mkdirSync(manifests, { recursive: true })
  const write = (name: string, command: readonly string[], more: readonly string[] = []) => {
    const file = join(manifests, `${name}.yaml`)
    if (existsSync(file)) return
    const pod = hostPod({ namespace: 'kube-system', name, command, folders: [...folders, ...more] })
    writeFileSync(file, JSON.stringify(pod))
  }
  write('etcd', etcdCommand(given))
  const hasPlugin = existsSync(encryptionFile(given.folder))
  write('kube-apiserver', apiServerCommand(given), hasPlugin ? ['/run/transit-bridge'] : [])
}

interface HostPod {
  readonly namespace: string
  readonly name: string
  readonly command: readonly string[]
  readonly workingDir?: string
  /** Folders of the host, besides that of the program. */
  readonly folders: readonly string[]
}

/** A pod that runs a program of the host in the host's network. */
export function hostPod({ namespace, name, command, workingDir, folders }: HostPod): object {
  const paths = [...new Set([dirname(command[0] ?? ''), ...folders])]
  const names = paths.map((path, at) => ({ name: `folder-${String(at)}`, path }))
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name },
    spec: {
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      tolerations: [{ operator: 'Exists' }],
      securityContext: { runAsUser: 0, runAsGroup: 0 },
      containers: [
        {
          name,
          image: `${IMAGE.repository}:${IMAGE.tag}`,
          imagePullPolicy: 'Never',
          command,
          workingDir,
          volumeMounts: names.map((each) => ({ name: each.name, mountPath: each.path })),
        },
      ],
      volumes: names.map((each) => ({
        name: each.name,
        hostPath: { path: each.path, type: 'DirectoryOrCreate' },
      })),
    },
  }
}
