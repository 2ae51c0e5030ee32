import type { Secret } from '../secret.ts'

/** Where an API server is, and how one shows who one is: what a kubeconfig says, with its files read. */
export interface KubeAccess {
  /** Origin, with a path behind it where the kubeconfig has one; no slash at the end. */
  readonly server: string
  /** PEM; undefined: the authorities that Node knows. */
  readonly ca?: string
  readonly certificate?: { readonly cert: string; readonly key: Secret<string> }
  readonly token?: Secret<string>
  /** Read anew now and then: the tokens of service accounts are replaced in place. */
  readonly tokenFile?: string
  /** Names of which its certificate must hold one; empty: the host of `server`. */
  readonly serverNames: readonly string[]
}

/** The name that every API server of a cluster has in its certificate, whatever address it is reached at. */
const SERVICE_NAME = 'kubernetes.default.svc'

/** Another API server of the same cluster: the same authority, and any name that is the cluster's. */
export function accessThrough(access: KubeAccess, server: string): KubeAccess {
  const own = new URL(access.server).hostname.replaceAll(/^\[|\]$/g, '')
  const host = new URL(server).hostname.replaceAll(/^\[|\]$/g, '')
  return { ...access, server, serverNames: [host, ...access.serverNames, own, SERVICE_NAME] }
}
