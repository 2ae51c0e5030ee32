import { GROUP_OF } from './builtin-groups.ts'

/** A resource as an EncryptionConfiguration names it. */
export interface Resource {
  /** The plural name: `secrets`. */
  readonly name: string
  /** Empty for the core group. */
  readonly group: string
}

/** Paths in etcd that are not the plural name (kubernetes: pkg/kubeapiserver/default_storage_factory_builder.go, pkg/registry/core/rest). */
const SPECIAL_PATHS: Readonly<Record<string, string>> = {
  controllers: 'replicationcontrollers',
  'services/endpoints': 'endpoints',
  'services/specs': 'services',
  minions: 'nodes',
  ingress: 'ingresses',
  'ranges/serviceips': 'serviceipallocations',
  'ranges/servicenodeports': 'servicenodeportallocations',
  masterleases: 'apiserveripinfo',
  peerserverleases: 'apiserverpeeripinfo',
}

const PATH_OF: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(SPECIAL_PATHS).map(([path, name]) => [name, path]),
)

/** `secrets`, `deployments.apps`: the notation of kubectl and of an EncryptionConfiguration. */
export function formatResource({ name, group }: Resource): string {
  return group === '' ? name : `${name}.${group}`
}

/** Reads the notation of {@link formatResource}; undefined if it is invalid, or lacks the group of a resource that is not built-in. */
export function parseResource(text: string): Resource | undefined {
  const match = /^([a-z0-9-]+)(?:\.([a-z0-9.-]+))?$/.exec(text)
  if (match?.[1] === undefined) return undefined
  const [, name, group] = match
  if (group !== undefined) return { name, group }
  return GROUP_OF[name] === undefined ? undefined : { name, group: GROUP_OF[name] }
}

/** Built-in resource names, for suggestions. */
export function knownResources(): readonly string[] {
  return Object.keys(GROUP_OF)
}

/**
 * The resource of an object by its etcd key without the prefix: `secrets/default/a`. The path of a built-in resource does
 * not contain its group; the path of a custom resource does, and the group has a dot.
 */
export function resourceOfPath(path: string): Resource {
  const [first = '', second = ''] = path.split('/', 2)
  if (first.includes('.')) return { name: second, group: first }
  const name = SPECIAL_PATHS[`${first}/${second}`] ?? SPECIAL_PATHS[first] ?? first
  return { name, group: GROUP_OF[name] ?? '' }
}

/** The path of a resource's objects without the prefix; with a slash at the end unless it is a single key. */
export function pathOfResource({ name, group }: Resource): string {
  const isBuiltIn = GROUP_OF[name] === group && !STORED_BY_GROUP.has(group)
  if (!isBuiltIn) return `${group}/${name}/`
  const path = PATH_OF[name] ?? name
  return path.startsWith('ranges/') ? path : `${path}/`
}

/** Built-in groups whose paths contain the group, as those of custom resources do. */
const STORED_BY_GROUP: ReadonlySet<string> = new Set([
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
])
