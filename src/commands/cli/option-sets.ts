import type { OptionRule } from './command.ts'

/** How a command finds the cluster, as `table.ts` lists it. */
export const CLUSTER_OPTIONS: Readonly<Record<string, OptionRule>> = {
  kubeconfig: { takes: 'FILE' },
  context: { takes: 'NAME' },
  'api-server': { takes: 'URL', repeats: true },
  plugin: { takes: 'URL', repeats: true },
  'configs-may-differ': {},
}

/** How a command finds etcd, as etcdctl takes it. */
export const ETCD_OPTIONS: Readonly<Record<string, OptionRule>> = {
  endpoints: { takes: 'LIST' },
  cacert: { takes: 'FILE' },
  cert: { takes: 'FILE' },
  key: { takes: 'FILE' },
  user: { takes: 'NAME' },
  'password-file': { takes: 'FILE' },
  'etcd-prefix': { takes: 'PREFIX' },
}
