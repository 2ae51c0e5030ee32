import type { Secret } from '../secret.ts'

/** The address of etcd and the caller's credentials, as etcdctl takes them. */
export interface EtcdAccess {
  /** Origins such as `https://127.0.0.1:2379`: at least one, all of the same cluster. */
  readonly endpoints: readonly string[]
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly login?: { readonly user: string; readonly password: Secret<string> } | undefined
}
