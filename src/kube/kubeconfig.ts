import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import { explainFileError } from '../files/system-error.ts'
import { Secret } from '../secret.ts'
import { readYaml } from '../yaml/source.ts'
import type { KubeAccess } from './access.ts'

/** The fields of a kubeconfig that this program uses or must reject (k8s.io/client-go: tools/clientcmd/api/v1/types.go). */
const Cluster = v.object({
  server: v.optional(v.string()),
  'certificate-authority': v.optional(v.string()),
  'certificate-authority-data': v.optional(v.string()),
  'insecure-skip-tls-verify': v.optional(v.boolean()),
  'tls-server-name': v.optional(v.string()),
  'proxy-url': v.optional(v.string()),
})
const User = v.object({
  'client-certificate': v.optional(v.string()),
  'client-certificate-data': v.optional(v.string()),
  'client-key': v.optional(v.string()),
  'client-key-data': v.optional(v.string()),
  token: v.optional(v.string()),
  tokenFile: v.optional(v.string()),
  exec: v.optional(v.unknown()),
  'auth-provider': v.optional(v.unknown()),
  username: v.optional(v.string()),
})
const Context = v.object({ cluster: v.string(), user: v.optional(v.string(), '') })
const list = <Item extends v.GenericSchema>(item: Item) => v.nullish(v.array(item), [])
const name = v.string()
const Kubeconfig = v.object({
  'current-context': v.optional(v.string(), ''),
  clusters: list(v.object({ name, cluster: Cluster })),
  users: list(v.object({ name, user: v.nullish(User, {}) })),
  contexts: list(v.object({ name, context: Context })),
})

type ClusterPart = v.InferOutput<typeof Cluster>
type UserPart = v.InferOutput<typeof User>

/**
 * Reads the address and credentials of a context (default: the current context). Throws CONFIG_INVALID, also for exec
 * plugins and auth providers: they are programs, and this program does not run them.
 */
export async function readKubeconfig(file: string, context?: string): Promise<KubeAccess> {
  const config = parseKubeconfig(file, await readText(file, file, 'kubeconfig'))
  const chosen = context ?? config['current-context']
  if (chosen === '') throw fault(file, 'has no current-context; pass --context NAME')
  const { cluster: clusterName, user: userName } = find(
    file,
    config.contexts,
    'context',
    chosen,
  ).context
  const { cluster } = find(file, config.clusters, 'cluster', clusterName)
  const user = userName === '' ? {} : find(file, config.users, 'user', userName).user
  return { ...(await readCluster(file, cluster)), ...(await readUser(file, user, userName)) }
}

function find<Item extends { readonly name: string }>(
  file: string,
  items: readonly Item[],
  kind: string,
  wanted: string,
): Item {
  const found = items.find((each) => each.name === wanted)
  if (found === undefined) throw fault(file, `has no ${kind} ${JSON.stringify(wanted)}`)
  return found
}

async function readCluster(file: string, cluster: ClusterPart) {
  const { server = '' } = cluster
  if (!server.startsWith('https://') || !URL.canParse(server))
    throw fault(file, 'has no server that starts with https://')
  if (cluster['proxy-url'] !== undefined)
    throw fault(file, 'has a proxy-url, which is not supported; use a context without one')
  if (cluster['insecure-skip-tls-verify'] === true)
    throw fault(
      file,
      'has insecure-skip-tls-verify, which lets any server impersonate the API server; replace it with certificate-authority-data',
    )
  const ca = await readPart(file, cluster, 'certificate-authority')
  const serverName = cluster['tls-server-name']
  return {
    server: server.replace(/\/+$/, ''),
    ca,
    serverNames: serverName === undefined ? [] : [serverName],
  }
}

async function readUser(file: string, user: UserPart, userName: string) {
  for (const plugin of ['exec', 'auth-provider'] as const) {
    if (user[plugin] === undefined || user[plugin] === null) continue
    throw fault(
      file,
      `user ${JSON.stringify(userName)} logs in by ${plugin === 'exec' ? 'an exec plugin' : 'an auth-provider'}, which this program does not support; use a user with a client certificate or a token (kubectl create token)`,
    )
  }
  if (user.username !== undefined)
    throw fault(
      file,
      `user ${JSON.stringify(userName)} has a password, which no API server accepts`,
    )
  const cert = await readPart(file, user, 'client-certificate')
  const key = await readPart(file, user, 'client-key')
  if ((cert === undefined) !== (key === undefined))
    throw fault(
      file,
      `user ${JSON.stringify(userName)} has only one of client-certificate and client-key`,
    )
  const { token, tokenFile } = user
  return {
    certificate:
      cert === undefined || key === undefined ? undefined : { cert, key: new Secret(key) },
    token: token === undefined || token === '' ? undefined : new Secret(token),
    tokenFile: tokenFile === undefined ? undefined : resolve(dirname(file), tokenFile),
  }
}

/** Inline data overrides a file, as with kubectl; a path is relative to the kubeconfig. */
async function readPart(
  file: string,
  part: Readonly<Record<string, unknown>>,
  key: string,
): Promise<string | undefined> {
  const data = part[`${key}-data`]
  if (typeof data === 'string' && data !== '') return Buffer.from(data, 'base64').toString('utf8')
  const path = part[key]
  if (typeof path !== 'string' || path === '') return undefined
  return readText(file, resolve(dirname(file), path), key)
}

async function readText(config: string, file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const where = config === file ? '' : `${what} ${file} `
    throw fault(config, `${where}cannot be read: ${explainFileError(error)}`)
  }
}

function parseKubeconfig(file: string, text: string): v.InferOutput<typeof Kubeconfig> {
  const source = readYaml(text)
  if (!('value' in source)) throw fault(file, 'is not YAML')
  const parsed = v.safeParse(Kubeconfig, source.value)
  if (parsed.success) return parsed.output
  const where = parsed.issues[0].path?.map(({ key }) => String(key)).join('.')
  throw fault(file, `is not a kubeconfig${where === undefined ? '' : ` (${where})`}`)
}

function fault(file: string, words: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', `kubeconfig ${file}: ${words}`)
}
