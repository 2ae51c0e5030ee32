import { X509Certificate } from 'node:crypto'

import { readAsGo } from '../yaml/go/read.ts'
import { decodeShape } from '../yaml/go/shape.ts'
import { hasTypeMeta } from '../yaml/go/type-meta.ts'
import type { KubeAccess } from './access.ts'
import { kubeconfigFault, readPart, readText } from './kubeconfig-part.ts'
import { Kubeconfig, type ClusterPart, type KubeconfigFile } from './kubeconfig-shape.ts'
import { readUser } from './kubeconfig-user.ts'
import { trimSlashes } from '../text/slashes.ts'

/**
 * Reads the address and credentials of a context (default: the current context) as kubectl does (client-go:
 * tools/clientcmd). Throws CONFIG_INVALID, also for what kubectl accepts and this program does not support: programs that
 * log in, proxies, passwords, and connections that do not check the server.
 */
export async function readKubeconfig(file: string, context?: string): Promise<KubeAccess> {
  const config = parseKubeconfig(file, await readText(file, file))
  const chosen = context ?? config['current-context']
  if (config.contexts.length === 0)
    throw kubeconfigFault(file, 'is empty or has no contexts; pass another file with --kubeconfig')
  if (chosen === '') throw kubeconfigFault(file, 'has no current-context; pass --context NAME')
  const { cluster: clusterName, user: userName } = find(
    file,
    config.contexts,
    'context',
    chosen,
  ).context
  const { cluster } = find(file, config.clusters, 'cluster', clusterName)
  const access = await readCluster(file, cluster)
  if (userName === '') return access
  const { user } = find(file, config.users, 'user', userName)
  return { ...access, ...(await readUser(file, user, userName)) }
}

function find<Item extends { readonly name: string }>(
  file: string,
  items: readonly Item[],
  kind: string,
  wanted: string,
): Item {
  const found = items.find((each) => each.name === wanted)
  if (found === undefined) throw kubeconfigFault(file, `has no ${kind} ${JSON.stringify(wanted)}`)
  return found
}

async function readCluster(file: string, cluster: ClusterPart): Promise<KubeAccess> {
  const { server, 'tls-server-name': serverName } = cluster
  if (!/^https:\/\/[^\s/?#]/i.test(server) || /\s/.test(server) || !URL.canParse(server))
    throw kubeconfigFault(file, 'has no server that starts with https://')
  if (cluster['proxy-url'] !== '')
    throw kubeconfigFault(
      file,
      'has a proxy-url, which is not supported; use a context without one',
    )
  if (cluster['insecure-skip-tls-verify'])
    throw kubeconfigFault(
      file,
      'has insecure-skip-tls-verify, which lets any server impersonate the API server; replace it with certificate-authority-data',
    )
  const ca = await readPart(file, 'certificate-authority', {
    path: cluster['certificate-authority'],
    data: cluster['certificate-authority-data'],
  })
  if (ca !== undefined && !isCertificate(ca))
    throw kubeconfigFault(file, 'has a certificate-authority that is not a certificate in PEM')
  return {
    server: normalizeServer(server),
    ca,
    serverNames: serverName === '' ? [] : [serverName],
    tlsServerName: serverName === '' ? undefined : serverName,
  }
}

/** kubectl drops a query and a fragment. */
function normalizeServer(server: string): string {
  return trimSlashes(server.replace(/[?#][^]*$/, ''))
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject.length >= 0
  } catch {
    return false
  }
}

/** kubectl reads YAML without strict checks, JSON too. */
function parseKubeconfig(file: string, text: string): KubeconfigFile {
  const source = readAsGo(text, { json: false, strict: false })
  if (!('value' in source)) {
    const [fault] = source
    const line = fault?.line === undefined ? '' : ` (line ${fault.line}: ${fault.message})`
    throw kubeconfigFault(file, `is not YAML${line}`)
  }
  const decoded = decodeShape(Kubeconfig, source.value)
  if ('fault' in decoded) throw kubeconfigFault(file, `is not a kubeconfig (${decoded.fault})`)
  if (!hasTypeMeta(source.value, { kind: 'Config', apiVersion: 'v1' }))
    throw kubeconfigFault(
      file,
      'is not a kubeconfig (its kind is not Config, or its apiVersion not v1)',
    )
  const repeated = findRepeated(decoded.value)
  if (repeated !== undefined) throw kubeconfigFault(file, `${repeated} is set twice; remove one`)
  return decoded.value
}

function findRepeated(config: KubeconfigFile): string | undefined {
  const { clusters, users, contexts, extensions, preferences } = config
  const lists = {
    cluster: [clusters],
    user: [users],
    context: [contexts],
    extension: [
      extensions,
      preferences.extensions,
      ...clusters.map(({ cluster }) => cluster.extensions),
      ...users.map(({ user }) => user.extensions),
      ...contexts.map(({ context }) => context.extensions),
    ],
  }
  for (const [kind, all] of Object.entries(lists)) {
    for (const items of all) {
      const names = items.map(({ name }) => name)
      const twice = names.find((name, index) => names.indexOf(name) !== index)
      if (twice !== undefined) return `the ${kind} ${JSON.stringify(twice)}`
    }
  }
  return undefined
}
