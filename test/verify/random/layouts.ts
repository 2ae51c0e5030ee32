/** Where objects of a resource are in etcd, written down by hand and not taken from the program. */
export type Layout = {
  /** As an EncryptionConfiguration names it. */
  readonly resource: string
  readonly group: string
  /** The key of an object, without the prefix. */
  readonly path: (name: string) => string
  readonly builtIn: boolean
  /** Whether the path shows to which resource an object belongs. */
  readonly known: boolean
  /** kube-apiserver never encrypts it. */
  readonly never: boolean
}

const namespaced = (folder: string) => (name: string) => `${folder}/default/${name}`
const single = (folder: string) => (name: string) => `${folder}/${name}`

function layout(
  resource: string,
  path: Layout['path'],
  rest: Partial<Pick<Layout, 'builtIn' | 'known' | 'never'>> = {},
): Layout {
  const dot = resource.indexOf('.')
  const group = dot < 0 ? '' : resource.slice(dot + 1)
  return { resource, group, path, builtIn: true, known: true, never: false, ...rest }
}

const CUSTOM = { builtIn: false } as const
const NEVER = { never: true } as const
const UNKNOWN = { builtIn: false, known: false } as const

export const NAMESPACES = layout('namespaces', single('namespaces'))
export const DEFINITIONS = layout(
  'customresourcedefinitions.apiextensions.k8s.io',
  single('apiextensions.k8s.io/customresourcedefinitions'),
)

/** Resources that rules and options may name. */
export const NAMEABLE: readonly Layout[] = [
  layout('secrets', namespaced('secrets')),
  layout('configmaps', namespaced('configmaps')),
  layout('services', namespaced('services/specs')),
  layout('endpoints', namespaced('services/endpoints')),
  layout('nodes', single('minions')),
  layout('replicationcontrollers', namespaced('controllers')),
  layout('deployments.apps', namespaced('deployments')),
  layout('statefulsets.apps', namespaced('statefulsets')),
  layout('ingresses.networking.k8s.io', namespaced('ingress')),
  layout('apiservices.apiregistration.k8s.io', single('apiregistration.k8s.io/apiservices')),
  layout('widgets.example.com', namespaced('example.com/widgets'), CUSTOM),
  layout('gadgets.example.com', single('example.com/gadgets'), CUSTOM),
  layout('secrets.other.example.net', namespaced('other.example.net/secrets'), CUSTOM),
  NAMESPACES,
  DEFINITIONS,
]

export const OTHERS: readonly Layout[] = [
  layout('apiserveripinfo', single('masterleases'), NEVER),
  layout('apiserverpeeripinfo', single('peerserverleases'), NEVER),
  layout('serviceipallocations', () => 'ranges/serviceips', NEVER),
  layout('servicenodeportallocations', () => 'ranges/servicenodeports', NEVER),
  layout('routes', namespaced('routes'), UNKNOWN),
  layout('oauth', single('oauth/accesstokens'), UNKNOWN),
  layout('constructor', single('constructor'), UNKNOWN),
  layout('__proto__', single('__proto__'), UNKNOWN),
]

/** Names that no store has objects of: mistakes, or custom resources without objects. */
export const NOWHERE: readonly Layout[] = ['configmap', 'secretz', 'things.nowhere.example'].map(
  (name) => layout(name, single(name), UNKNOWN),
)
