import type { Report } from './report.ts'

/** What a name in the path of the API may consist of: nothing that a shell interprets. */
const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/
const OPTIONS = JSON.stringify({
  kind: 'DeleteOptions',
  apiVersion: 'v1',
  ignoreStoreReadErrorWithClusterBreakingPotential: true,
})

/**
 * The command that deletes an object that the API server cannot read, for the first such object of the core group; the others
 * need only another path. kubectl has no option for it (KEP-3926).
 */
export function describeDeletion({ prefix, resources }: Report): readonly string[] {
  // With a code, Vault or the configuration is the reason, which can be changed.
  const damaged = resources
    .flatMap(({ unreadableKeys }) => unreadableKeys)
    .filter(({ code }) => code === undefined)
  const path = damaged.map(({ key }) => pathInApi(key, prefix)).find((found) => found !== undefined)
  if (path === undefined) return []
  return [
    'an object that no key or backup can make readable can be deleted, without its finalizers (Kubernetes 1.37, or 1.34 and newer with the feature gate AllowUnsafeMalformedObjectDeletion; needs the verb unsafe-delete-ignore-read-errors):',
    `  echo '${OPTIONS}' | kubectl delete --raw ${path} -f -`,
  ]
}

function pathInApi(key: string, prefix: string): string | undefined {
  const [resource = '', ...names] = key.slice(prefix.length).split('/')
  const [first = '', second] = names
  if (!IN_CORE.has(resource) || !names.every((name) => NAME.test(name))) return undefined
  if (names.length === 1) return `/api/v1/${resource}/${first}`
  if (names.length !== 2 || second === undefined) return undefined
  return `/api/v1/namespaces/${first}/${resource}/${second}`
}

/** Resources of the core group whose path in etcd is that of the API. */
const IN_CORE: ReadonlySet<string> = new Set([
  'configmaps',
  'namespaces',
  'persistentvolumeclaims',
  'persistentvolumes',
  'pods',
  'secrets',
  'serviceaccounts',
])
