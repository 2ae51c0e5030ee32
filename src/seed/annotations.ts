import { BridgeError } from '../errors.ts'
import { encodeCanonically } from './canonical-encoding.ts'

export type Annotations = Readonly<Record<string, Uint8Array>>

const VERSION_KEY = 'version.transit-bridge.internal'
const CLUSTER_KEY = 'cluster.transit-bridge.internal'
const FORMAT_VERSION = '1'
const DOMAIN = 'transit-bridge/annotations/v1'

/** What is stored in the clear with a ciphertext: everything that a later Decrypt needs. */
export function makeAnnotations(clusterId: string): Annotations {
  return { [VERSION_KEY]: Buffer.from(FORMAT_VERSION), [CLUSTER_KEY]: Buffer.from(clusterId) }
}

/**
 * The cluster that annotations name. Throws ANNOTATIONS_INVALID unless they are exactly what
 * {@link makeAnnotations} produces: nothing missing, nothing more, this format version.
 */
export function readCluster(annotations: Annotations): string {
  const version = annotations[VERSION_KEY]
  const cluster = annotations[CLUSTER_KEY]
  if (version === undefined || cluster === undefined || Object.keys(annotations).length !== 2) {
    throw new BridgeError(
      'ANNOTATIONS_INVALID',
      'the annotations are not those of transit-bridge; another plugin wrote this data or it was changed',
    )
  }
  if (Buffer.from(version).toString('latin1') !== FORMAT_VERSION) {
    throw new BridgeError(
      'ANNOTATIONS_INVALID',
      `the annotations have a format version other than ${FORMAT_VERSION}; a newer transit-bridge wrote this data or it was changed`,
    )
  }
  return Buffer.from(cluster).toString('utf8')
}

/** The AAD that Transit authenticates with each ciphertext: the annotations in a fixed order. */
export function encodeAssociatedData(annotations: Annotations): Buffer {
  const fields = Object.entries(annotations)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .flat()
  return encodeCanonically(DOMAIN, fields)
}
