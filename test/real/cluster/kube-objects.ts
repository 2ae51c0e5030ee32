import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { KubeApiServer } from './kube-api-server.ts'
import type { KubeNode } from './kube-node.ts'
import { moduleFolder } from '../host/parts.ts'

const GROUP = 'secrets-store.csi.x-k8s.io'
const CLASSES = `/apis/${GROUP}/v1/namespaces`

/** Installs the custom resources that the driver comes with, and waits until they are served. */
export async function installDriverResources(api: KubeApiServer | KubeNode): Promise<void> {
  const deploy = join(await moduleFolder('secrets-store-csi-driver'), 'deploy')
  const kinds = ['secretproviderclasses', 'secretproviderclasspodstatuses']
  for (const kind of kinds) {
    const text = await readFile(join(deploy, `${GROUP}_${kind}.yaml`), 'utf8')
    for (const document of parseAllDocuments(text)) {
      await api.api(
        'POST',
        '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
        document.toJS(),
      )
    }
  }
  await Promise.all(
    kinds.map((kind) =>
      api.waitUntil(`custom resource ${kind}`, async () => {
        const { status } = await api.request('GET', `/apis/${GROUP}/v1/${kind}`)
        return status === 200
      }),
    ),
  )
}

/** An object of a class, as its author writes it. */
export type ClassObject = { path?: string; type: string; key?: string; [field: string]: unknown }

export type ProviderClass = {
  namespace: string
  name: string
  /** Default: transit-bridge. */
  provider?: string
  parameters: Record<string, string>
  /** What the driver makes Secrets of. */
  secretObjects?: unknown[]
}

/** Writes a SecretProviderClass, over the one of that name if there is one. */
export async function writeClass(
  api: Pick<KubeApiServer, 'api' | 'request'>,
  wanted: ProviderClass,
): Promise<void> {
  const { namespace, name, provider = 'transit-bridge', parameters, secretObjects } = wanted
  const folder = `${CLASSES}/${namespace}/secretproviderclasses`
  const { body, status } = await api.request('GET', `${folder}/${name}`)
  const object = {
    apiVersion: `${GROUP}/v1`,
    kind: 'SecretProviderClass',
    metadata: { name, ...(status === 200 ? pick(body.metadata) : {}) },
    spec: { provider, parameters, ...(secretObjects === undefined ? {} : { secretObjects }) },
  }
  if (status === 200) await api.api('PUT', `${folder}/${name}`, object)
  else await api.api('POST', folder, object)
}

export async function hasClass(
  api: KubeApiServer,
  namespace: string,
  name: string,
): Promise<boolean> {
  const path = `${CLASSES}/${namespace}/secretproviderclasses/${name}`
  return (await api.request('GET', path)).status === 200
}

function pick(metadata: { resourceVersion: string }): { resourceVersion: string } {
  return { resourceVersion: metadata.resourceVersion }
}

/** What the driver wrote about a pod's volume, or undefined. */
export async function readPodStatus(
  api: KubeApiServer,
  pod: { namespace: string; name: string },
  className: string,
): Promise<PodStatus | undefined> {
  const name = `${pod.name}-${pod.namespace}-${className}`
  const path = `${CLASSES}/${pod.namespace}/secretproviderclasspodstatuses/${name}`
  const { status, body } = await api.request('GET', path)
  if (status === 404) return undefined
  const { objects, mounted } = body.status as {
    objects: { id: string; version: string }[]
    mounted: boolean
  }
  return {
    mounted,
    resourceVersion: String(body.metadata.resourceVersion),
    versions: Object.fromEntries(objects.map(({ id, version }) => [id, version])),
  }
}

export type PodStatus = {
  mounted: boolean
  /** Another one after every write that changed something. */
  resourceVersion: string
  /** The version of each object. */
  versions: Record<string, string>
}
