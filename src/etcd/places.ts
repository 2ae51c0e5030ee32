/** An etcd beside a control plane, with the files that its API server shows it. */
export interface EtcdPlace {
  /** As a message calls it. */
  readonly name: string
  readonly endpoint: string
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

const ENDPOINT = 'https://127.0.0.1:2379'

/** Where the usual distributions keep what etcd wants to see (kubeadm: phases/certs; k3s: pkg/etcd). */
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

/** The first place whose files are there; undefined if this host has none. */
export function findEtcd(exists: (file: string) => boolean): EtcdPlace | undefined {
  return ETCD_PLACES.find(({ caFile, certFile, keyFile }) =>
    [caFile, certFile, keyFile].every(exists),
  )
}
