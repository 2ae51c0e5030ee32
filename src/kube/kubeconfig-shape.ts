import {
  bool,
  bytes,
  list,
  pointer,
  raw,
  record,
  struct,
  text,
  type Shape,
} from '../yaml/go/shape.ts'

const extensions = list(struct({ name: text, extension: raw }))

const Exec = struct({
  command: text,
  args: list(text),
  env: list(struct({ name: text, value: text })),
  apiVersion: text,
  installHint: text,
  provideClusterInfo: bool,
  interactiveMode: text,
})

const Cluster = struct({
  server: text,
  'tls-server-name': text,
  'insecure-skip-tls-verify': bool,
  'certificate-authority': text,
  'certificate-authority-data': bytes,
  'proxy-url': text,
  'disable-compression': bool,
  extensions,
})

const User = struct({
  'client-certificate': text,
  'client-certificate-data': bytes,
  'client-key': text,
  'client-key-data': bytes,
  token: text,
  tokenFile: text,
  as: text,
  'as-uid': text,
  'as-groups': list(text),
  'as-user-extra': record(list(text)),
  username: text,
  password: text,
  'auth-provider': pointer(struct({ name: text, config: record(text) })),
  exec: pointer(Exec),
  extensions,
})

const Context = struct({ cluster: text, user: text, namespace: text, extensions })

/**
 * A kubeconfig (k8s.io/client-go: tools/clientcmd/api/v1/types.go), which kubectl decodes completely before it looks for a
 * context.
 */
export const Kubeconfig = struct({
  kind: text,
  apiVersion: text,
  preferences: struct({ colors: bool, extensions }),
  clusters: list(struct({ name: text, cluster: Cluster })),
  users: list(struct({ name: text, user: User })),
  contexts: list(struct({ name: text, context: Context })),
  'current-context': text,
  extensions,
})

type Decoded<Of> = Of extends Shape<infer Value> ? Value : never
export type KubeconfigFile = Decoded<typeof Kubeconfig>
export type ClusterPart = Decoded<typeof Cluster>
export type UserPart = Decoded<typeof User>
