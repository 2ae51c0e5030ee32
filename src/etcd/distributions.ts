/** How a distribution runs etcd on a control-plane node, with the client certificate of the API server. */
export interface EtcdDistribution {
  /** For messages. */
  readonly name: string
  readonly endpoint: string
  /** Absent for the socket of kine, which root can open. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

const ENDPOINT = 'https://127.0.0.1:2379'

/** Where distributions keep the client certificate for etcd (kubeadm: cmd/kubeadm/app/phases/certs; k3s: pkg/etcd). */
export const ETCD_DISTRIBUTIONS: readonly Required<EtcdDistribution>[] = [
  {
    name: 'kubeadm',
    endpoint: ENDPOINT,
    caFile: '/etc/kubernetes/pki/etcd/ca.crt',
    certFile: '/etc/kubernetes/pki/apiserver-etcd-client.crt',
    keyFile: '/etc/kubernetes/pki/apiserver-etcd-client.key',
  },
  ...['k3s', 'rke2'].map((name) => ({
    name,
    endpoint: ENDPOINT,
    caFile: `/var/lib/rancher/${name}/server/tls/etcd/server-ca.crt`,
    certFile: `/var/lib/rancher/${name}/server/tls/etcd/client.crt`,
    keyFile: `/var/lib/rancher/${name}/server/tls/etcd/client.key`,
  })),
]

/** Where k3s serves etcd's API over SQLite or another SQL database (k3s: pkg/cluster/storage; kine: pkg/endpoint, KineSocket). */
export const KINE_SOCKET = '/var/lib/rancher/k3s/server/kine.sock'

/** The distribution whose files exist on this host; undefined if there is none. */
export function findEtcd(exists: (file: string) => boolean): EtcdDistribution | undefined {
  const found = ETCD_DISTRIBUTIONS.find(({ caFile, certFile, keyFile }) =>
    [caFile, certFile, keyFile].every(exists),
  )
  if (found !== undefined || !exists(KINE_SOCKET)) return found
  return { name: 'k3s (kine)', endpoint: `unix://${KINE_SOCKET}` }
}
