/** How a distribution runs etcd on a control-plane node, with the client certificate of the API server. */
export interface EtcdDistribution {
  /** For messages. */
  readonly name: string
  readonly endpoint: string
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

const ENDPOINT = 'https://127.0.0.1:2379'

/** Where distributions keep the client certificate for etcd (kubeadm: cmd/kubeadm/app/phases/certs; k3s: pkg/etcd). */
export const ETCD_DISTRIBUTIONS: readonly EtcdDistribution[] = [
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

/** The distribution whose files exist on this host; undefined if there is none. */
export function findEtcd(exists: (file: string) => boolean): EtcdDistribution | undefined {
  return ETCD_DISTRIBUTIONS.find(({ caFile, certFile, keyFile }) =>
    [caFile, certFile, keyFile].every(exists),
  )
}
