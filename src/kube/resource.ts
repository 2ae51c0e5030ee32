import { GROUP_OF } from './builtin-groups.ts'

/** A resource as an EncryptionConfiguration names it. */
export interface Resource {
  /** The plural name: `secrets`. */
  readonly name: string
  /** Empty for the core group. */
  readonly group: string
}

/**
 * Paths in etcd that are not the plural name (kubernetes: pkg/kubeapiserver/default_storage_factory_builder.go,
 * pkg/registry/core/rest).
 */
const SPECIAL_PATHS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    controllers: 'replicationcontrollers',
    'services/endpoints': 'endpoints',
    'services/specs': 'services',
    minions: 'nodes',
    ingress: 'ingresses',
    'ranges/serviceips': 'serviceipallocations',
    'ranges/servicenodeports': 'servicenodeportallocations',
    masterleases: 'apiserveripinfo',
    peerserverleases: 'apiserverpeeripinfo',
  }),
)

const PATH_OF: ReadonlyMap<string, string> = new Map(
  [...SPECIAL_PATHS].map(([path, name]) => [name, path]),
)

/** `secrets`, `deployments.apps`: the notation of kubectl and of an EncryptionConfiguration. */
export function formatResource({ name, group }: Resource): string {
  return group === '' ? name : `${name}.${group}`
}

/**
 * Reads the notation of {@link formatResource}; undefined if it is invalid, or lacks the group of a resource that is not
 * built-in.
 */
export function parseResource(text: string): Resource | undefined {
  const match = /^([a-z0-9-]+)(?:\.([a-z0-9.-]+))?$/.exec(text)
  if (match?.[1] === undefined) return undefined
  const [, name, group] = match
  // A group without a dot is built-in: any other resource in it is a mistake (`secrets.core`).
  if (group !== undefined)
    return group.includes('.') || isBuiltIn({ name, group }) ? { name, group } : undefined
  const builtIn = GROUP_OF.get(name)
  return builtIn === undefined ? undefined : { name, group: builtIn }
}

/** Everything after the first dot is the group (apimachinery: pkg/runtime/schema, ParseGroupResource). */
export function parseGroupResource(text: string): Resource {
  const dot = text.indexOf('.')
  return dot < 0
    ? { name: text, group: '' }
    : { name: text.slice(0, dot), group: text.slice(dot + 1) }
}

/** Whether a resource comes with Kubernetes, so that its path in etcd is known. */
export function isBuiltIn({ name, group }: Resource): boolean {
  return GROUP_OF.get(name) === group
}

/** Whether the path of a resource is known: it is built-in, or a custom resource whose path contains its group. */
export function hasKnownPath(resource: Resource): boolean {
  return isBuiltIn(resource) || resource.group.includes('.')
}

/**
 * Allocations and leases that kube-apiserver stores without the transformers of the EncryptionConfiguration, regardless of its
 * rules (kubernetes: pkg/registry/core/rest/storage_core.go, pkg/controlplane/reconcilers, pkg/controlplane/apiserver/peer.go).
 */
const NEVER_ENCRYPTED: ReadonlySet<string> = new Set([
  'apiserveripinfo',
  'apiserverpeeripinfo',
  'serviceipallocations',
  'servicenodeportallocations',
])

/** Whether kube-apiserver never encrypts a resource. */
export function isNeverEncrypted({ name, group }: Resource): boolean {
  return group === '' && NEVER_ENCRYPTED.has(name)
}

/** Built-in resource names, for suggestions. */
export function knownResources(): readonly string[] {
  return [...GROUP_OF.keys()]
}

/** Groups of the resources that come with Kubernetes; the core group is not among them. */
export function knownGroups(): readonly string[] {
  return [...new Set(GROUP_OF.values())].filter((group) => group !== '')
}

/**
 * The resource of an object by its etcd key without the prefix: `secrets/default/a`. The path of a built-in resource does
 * not contain its group; the path of a custom resource does, and the group has a dot.
 */
export function resourceOfPath(path: string): Resource {
  const [first = '', second = ''] = path.split('/', 2)
  if (first.includes('.')) return { name: second, group: first }
  const name = SPECIAL_PATHS.get(`${first}/${second}`) ?? SPECIAL_PATHS.get(first) ?? first
  return { name, group: GROUP_OF.get(name) ?? '' }
}

/** The path of a resource's objects without the prefix; with a slash at the end unless it is a single key. */
export function pathOfResource({ name, group }: Resource): string {
  if (!isBuiltIn({ name, group }) || STORED_BY_GROUP.has(group)) return `${group}/${name}/`
  const path = PATH_OF.get(name) ?? name
  return path.startsWith('ranges/') ? path : `${path}/`
}

/** Built-in groups whose paths contain the group, as those of custom resources do. */
const STORED_BY_GROUP: ReadonlySet<string> = new Set([
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
])
