/** The etcd of a control-plane node, with the client certificate of its API server. */
export interface EtcdPlace {
  /** The distribution, for messages. */
  readonly name: string
  readonly endpoint: string
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

const ENDPOINT = 'https://127.0.0.1:2379'

/** Where distributions keep the client certificate for etcd (kubeadm: cmd/kubeadm/app/phases/certs; k3s: pkg/etcd). */
export const ETCD_PLACES: readonly EtcdPlace[] = [
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

/** The first place whose files exist; undefined if this host has none. */
export function findEtcd(exists: (file: string) => boolean): EtcdPlace | undefined {
  return ETCD_PLACES.find(({ caFile, certFile, keyFile }) =>
    [caFile, certFile, keyFile].every(exists),
  )
}
