import { GROUP_OF } from './builtin-groups.ts'

/** A kind of objects, as an EncryptionConfiguration names it. */
export interface Resource {
  /** The plural, as `secrets`. */
  readonly name: string
  /** Empty for the core group. */
  readonly group: string
}

/** Paths that are not the plural (kubernetes: pkg/kubeapiserver/default_storage_factory_builder.go, and the reconcilers). */
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

/** `secrets`, `deployments.apps`: as kubectl and an EncryptionConfiguration write it. */
export function formatResource({ name, group }: Resource): string {
  return group === '' ? name : `${name}.${group}`
}

/** The other way round; undefined for what is no resource of this form, or of a group that must be named. */
export function parseResource(text: string): Resource | undefined {
  const match = /^([a-z0-9-]+)(?:\.([a-z0-9.-]+))?$/.exec(text)
  if (match?.[1] === undefined) return undefined
  const [, name, group] = match
  if (group !== undefined) return { name, group }
  return GROUP_OF[name] === undefined ? undefined : { name, group: GROUP_OF[name] }
}

/** Names that need no group, for a message that suggests one. */
export function knownResources(): readonly string[] {
  return Object.keys(GROUP_OF)
}

/**
 * The resource of an object by its etcd key without the prefix: `secrets/default/a`. The groups of resources that
 * come with Kubernetes are not in the path; those of custom resources are, and have a dot.
 */
export function resourceOfPath(path: string): Resource {
  const [first = '', second = ''] = path.split('/', 2)
  if (first.includes('.')) return { name: second, group: first }
  const name = SPECIAL_PATHS[`${first}/${second}`] ?? SPECIAL_PATHS[first] ?? first
  return { name, group: GROUP_OF[name] ?? '' }
}

/** Where the objects of a resource are, without the prefix; with a slash at the end, unless it is one key alone. */
export function pathOfResource({ name, group }: Resource): string {
  const isBuiltIn = GROUP_OF[name] === group && !STORED_BY_GROUP.has(group)
  if (!isBuiltIn) return `${group}/${name}/`
  const path = PATH_OF[name] ?? name
  return path.startsWith('ranges/') ? path : `${path}/`
}

/** Groups of Kubernetes that are served as custom resources are: with the group in the path. */
const STORED_BY_GROUP: ReadonlySet<string> = new Set([
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
])
