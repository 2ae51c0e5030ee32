import type { Secret } from '../secret.ts'

/** The address of an API server and the caller's credentials: a kubeconfig with its files read. */
export interface KubeAccess {
  /** Origin with the path of the kubeconfig, if any; no slash at the end. */
  readonly server: string
  /** PEM; undefined means the authorities that come with Node.js. */
  readonly ca?: string | undefined
  readonly certificate?: { readonly cert: string; readonly key: Secret<string> } | undefined
  readonly token?: Secret<string> | undefined
  /** Read again regularly: the kubelet replaces the tokens of service accounts in place. */
  readonly tokenFile?: string | undefined
  /** The certificate must be valid for one of these names; empty means the host of `server`. */
  readonly serverNames: readonly string[]
  /** Sent as SNI instead of the host of `server`. */
  readonly tlsServerName?: string | undefined
  /** Requests act as this user, whose rights apply instead of the caller's. */
  readonly impersonation?: Impersonation | undefined
}

/** `as` and its companions in a kubeconfig (Kubernetes: user impersonation). */
export interface Impersonation {
  readonly user: string
  readonly uid?: string | undefined
  readonly groups: readonly string[]
  readonly extra: Readonly<Record<string, readonly string[]>>
}

/** Every API server of a cluster has this name in its certificate, regardless of its address. */
const SERVICE_NAME = 'kubernetes.default.svc'

/** Access to another API server of the same cluster: same authority, and a certificate for any name of the cluster. */
export function accessThrough(access: KubeAccess, server: string): KubeAccess {
  const own = new URL(access.server).hostname.replaceAll(/^\[|\]$/g, '')
  const host = new URL(server).hostname.replaceAll(/^\[|\]$/g, '')
  return { ...access, server, serverNames: [host, ...access.serverNames, own, SERVICE_NAME] }
}
