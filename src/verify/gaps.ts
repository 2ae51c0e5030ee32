import type { Expectation } from '../encryption/expectation.ts'
import {
  formatResource,
  hasKnownPath,
  isBuiltIn,
  knownResources,
  type Resource,
} from '../kube/resource.ts'
import { findNearest } from '../text/nearest.ts'
import type { ResourceTally, Tally } from './tally.ts'

/**
 * Every cluster has this namespace: kube-apiserver creates it when it starts (kubernetes:
 * pkg/controlplane/controller/systemnamespaces).
 */
export const CLUSTER_MARKER = 'namespaces/kube-system'

/** The keys, without the prefix, whose existence shows what a store is. */
export function listMarkers({ named }: Expectation): readonly string[] {
  return [CLUSTER_MARKER, ...named.filter(isCustom).map(definitionOf)]
}

export interface GapFacts {
  readonly tally: Tally
  readonly expectation: Expectation
  readonly prefix: string
  /** Those of {@link listMarkers} that exist. */
  readonly markers: ReadonlySet<string>
}

/** What a read of the store cannot prove, each a sentence. */
export function findGaps(facts: GapFacts): readonly string[] {
  return [
    ...findMissingCluster(facts),
    ...findMissingResources(facts),
    ...findUnknownPaths(facts),
    ...findAmbiguousKeys(facts),
  ]
}

/** Data that was not there to be decrypted proves nothing about the key. */
export function findNothingDecrypted(encrypted: number): readonly string[] {
  return encrypted === 0 ? ['there is no encrypted object, so nothing is proved'] : []
}

/** Without kube-system the prefix is wrong, or this etcd holds only part of a cluster (such as its events). */
export function findMissingCluster({
  markers,
  prefix,
}: Pick<GapFacts, 'markers' | 'prefix'>): readonly string[] {
  if (markers.has(CLUSTER_MARKER)) return []
  return [
    `${prefix}${CLUSTER_MARKER} does not exist, so this is not the main store of a cluster; check --endpoints and --etcd-prefix (--etcd-servers and --etcd-prefix of kube-apiserver)`,
  ]
}

/** No objects are proof only if the path is certain: of a built-in resource, or of one with a CustomResourceDefinition. */
function findMissingResources({ tally, expectation, markers }: GapFacts): readonly string[] {
  return expectation.named
    .filter((resource) => !tally.resources.has(formatResource(resource)))
    .filter((resource) => !isBuiltIn(resource) && !markers.has(definitionOf(resource)))
    .map((resource) => {
      const name = formatResource(resource)
      const nearest = findNearest(name, knownResources())
      const hint =
        nearest === undefined
          ? 'check the name; an aggregated API server keeps its resources under another --etcd-prefix'
          : `did you mean ${nearest}?`
      return `${name} must be encrypted, but was not found in the store; ${hint}`
    })
}

/** Plaintext under a path that belongs to no known resource: whether a rule is meant for it is unknown. */
function findUnknownPaths({ tally, expectation, prefix }: GapFacts): readonly string[] {
  return [...tally.resources.values()]
    .filter(({ resource, plain }) => plain > 0 && !hasKnownPath(resource))
    .filter(({ resource }) => expectation.isWithoutRule(resource))
    .map(
      ({ resource, plain, plainNames }: ResourceTally) =>
        `${plain === 1 ? '1 plaintext object' : `${String(plain)} plaintext objects`} under ${prefix}${resource.name}/ (${plainNames[0] ?? ''}) of no known resource, so no rule could be applied; pass --allow ${resource.name} if they may be plaintext`,
    )
}

/**
 * A key name may contain a colon, and so may the data after it, so nothing in etcd shows where the name ends (apiserver:
 * pkg/apis/apiserver/validation/validation_encryption.go). KMS names are not affected: an envelope follows them.
 */
function findAmbiguousKeys({ tally, expectation }: GapFacts): readonly string[] {
  const used = new Set(
    [...tally.resources.values()].flatMap(({ groups }) =>
      [...groups.values()].flatMap(({ kind, provider }) => (kind === 'local' ? provider : [])),
    ),
  )
  const found = new Set(expectation.providers.filter((label) => /^[^:]+:/.test(label)))
  return [...found].flatMap((label) => {
    const [shown = ''] = label.split(':')
    if (!used.has(shown)) return []
    return `objects of the key ${label} cannot be distinguished from those of ${shown}, because of the colon in the name; encrypt them with a key without one`
  })
}

function isCustom(resource: Resource): boolean {
  return !isBuiltIn(resource)
}

/** The key of a CustomResourceDefinition, which is named after its resource. */
function definitionOf(resource: Resource): string {
  return `apiextensions.k8s.io/customresourcedefinitions/${formatResource(resource)}`
}
