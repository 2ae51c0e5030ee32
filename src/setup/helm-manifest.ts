import { listAt, readSources, textAt, valueAt } from '../csi/class/manifest-source.ts'
import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import type { ServiceAccount } from './wanted.ts'

/** A configuration of the chart, as the objects that helm rendered contain it. */
export interface RenderedConfiguration {
  /** Where it is, for messages: "ConfigMap transit-bridge/transit-bridge-kms: config.yaml". */
  readonly place: string
  readonly text: string
  /** CA certificates of Vault in PEM, if the ConfigMap contains them. */
  readonly caBundle: string | undefined
  /** Undefined if no pod with this configuration has a token for Vault. */
  readonly identity: RenderedIdentity | undefined
  /** The environment variables of the pods with this configuration, as far as the manifest contains their values. */
  readonly variables: Environment
}

/** The service account that the kubelet requests a token for, and the token's audience. */
export interface RenderedIdentity {
  readonly serviceAccount: ServiceAccount
  readonly audience: string | undefined
}

interface Place {
  readonly namespace: string
  readonly name: string
}

/**
 * Finds the configurations in the output of `helm template` or `helm get manifest`, and the service account of the pods
 * that mount each of them. The templates of the chart alone decide what is in them. Throws USAGE_INVALID.
 */
export function readHelmManifest(text: string, label: string): readonly RenderedConfiguration[] {
  const objects = readSources(text).map((part) => {
    if ('source' in part) return part.source.value
    throw refuse(`${label}:${String(part.line)} is not YAML`)
  })
  const maps = objects.filter((object) => isOurs(object) && configOf(object) !== undefined)
  if (maps.length === 0) {
    throw refuse(
      `${label} contains no ConfigMap with a config.yaml; pass what helm template or helm get manifest prints for the chart transit-bridge`,
    )
  }
  return maps.map((map) => describeMap(map, objects, label))
}

function describeMap(
  map: unknown,
  objects: readonly unknown[],
  label: string,
): RenderedConfiguration {
  const place = placeOf(map, label)
  return {
    place: `ConfigMap ${place.namespace}/${place.name}: config.yaml`,
    text: configOf(map) ?? '',
    caBundle: textAt(map, ['data', 'vault-ca.pem']),
    identity: objects.map((object) => identityOf(object, place, label)).find(Boolean),
    variables: variablesOf(map, place, objects),
  }
}

/** The other objects of an umbrella chart may have a config.yaml, too. */
function isOurs(object: unknown): boolean {
  const label = textAt(object, ['metadata', 'labels', 'app.kubernetes.io/part-of'])
  return textAt(object, ['kind']) === 'ConfigMap' && label === 'transit-bridge'
}

function configOf(map: unknown): string | undefined {
  return textAt(map, ['data', 'config.yaml'])
}

function placeOf(object: unknown, label: string): Place {
  const [kind = 'object', name = '', namespace] = [
    textAt(object, ['kind']),
    textAt(object, ['metadata', 'name']),
    textAt(object, ['metadata', 'namespace']),
  ]
  if (namespace !== undefined) return { namespace, name }
  throw refuse(`${label}: ${kind} ${name} has no metadata.namespace, so its account is unknown`)
}

/** The identity of a workload whose pods mount the ConfigMap and a token. */
function identityOf(workload: unknown, map: Place, label: string): RenderedIdentity | undefined {
  const pod = podOf(workload)
  const sources = volumeSources(pod)
  const token = sources.find((source) => valueAt(source, ['serviceAccountToken']) !== undefined)
  if (token === undefined || !mounts(sources, map)) return undefined
  const { namespace } = placeOf(workload, label)
  if (namespace !== map.namespace) return undefined
  const name = textAt(pod, ['serviceAccountName']) ?? 'default'
  return {
    serviceAccount: { namespace, name },
    audience: textAt(token, ['serviceAccountToken', 'audience']),
  }
}

/** Stands for the name of every node: the manifest does not contain it, and Vault's settings do not depend on it. */
const ANY_NODE = 'node'

/** The variables of the pods that mount the ConfigMap, and of the static pod that the ConfigMap describes. */
function variablesOf(map: unknown, place: Place, objects: readonly unknown[]): Environment {
  const pods = objects
    .filter((object) => textAt(object, ['metadata', 'namespace']) === place.namespace)
    .map(podOf)
    .filter((pod) => mounts(volumeSources(pod), place))
  const staticPods = readSources(textAt(map, ['data', 'pod.yaml']) ?? '').map((part) =>
    'source' in part ? valueAt(part.source.value, ['spec']) : undefined,
  )
  const variables = [...pods, ...staticPods]
    .flatMap((pod) => listAt(pod, ['containers']))
    .flatMap((container) => listAt(container, ['env']))
  return Object.fromEntries(variables.flatMap(readVariable))
}

function readVariable(variable: unknown): readonly (readonly [name: string, value: string])[] {
  const name = textAt(variable, ['name'])
  const isNode = textAt(variable, ['valueFrom', 'fieldRef', 'fieldPath']) === 'spec.nodeName'
  const value = isNode ? ANY_NODE : textAt(variable, ['value'])
  return name === undefined || value === undefined ? [] : [[name, value]]
}

function podOf(workload: unknown): unknown {
  return valueAt(workload, ['spec', 'template', 'spec'])
}

function volumeSources(pod: unknown): readonly unknown[] {
  const volumes = listAt(pod, ['volumes'])
  return [...volumes, ...volumes.flatMap((volume) => listAt(volume, ['projected', 'sources']))]
}

function mounts(sources: readonly unknown[], map: Place): boolean {
  return sources.some((source) => textAt(source, ['configMap', 'name']) === map.name)
}

function refuse(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', message)
}
