import type { Secret } from '../secret.ts'

/** The address of etcd and the caller's credentials, as etcdctl takes them. */
export interface EtcdAccess {
  /** Origins such as `https://127.0.0.1:2379`, or `unix:///run/kine.sock`: at least one, all of the same cluster. */
  readonly endpoints: readonly string[]
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly login?: { readonly user: string; readonly password: Secret<string> } | undefined
}

/** The path of a unix socket; undefined for an endpoint with a host. */
export function socketOf(endpoint: string): string | undefined {
  return endpoint.startsWith('unix://') ? endpoint.slice('unix://'.length) : undefined
}
