import { BridgeError } from '../errors.ts'
import { encodeCanonically } from './canonical-encoding.ts'

export type Annotations = Readonly<Record<string, Uint8Array>>

const VERSION_KEY = 'version.transit-bridge.internal'
const CLUSTER_KEY = 'cluster.transit-bridge.internal'
const LOCAL_KEY_KEY = 'local-key.transit-bridge.internal'
/** Transit encrypted the DEK seed itself. */
const FORMAT_VERSION = '1'
/** A local key encrypted the DEK seed, and Transit that local key. */
const LOCAL_FORMAT_VERSION = '2'
const EMPTY = new Uint8Array()
const DOMAIN = Buffer.from('transit-bridge/annotations/v1')
/** In the order of the AAD; as bytes, too, because each AAD contains them. */
const KNOWN_NAMES = [CLUSTER_KEY, LOCAL_KEY_KEY, VERSION_KEY].map((name) => ({
  name,
  bytes: Buffer.from(name),
}))

/** What is stored in the clear next to a ciphertext of Transit. */
export function makeAnnotations(clusterId: string): Annotations {
  return { [VERSION_KEY]: Buffer.from(FORMAT_VERSION), [CLUSTER_KEY]: Buffer.from(clusterId) }
}

/** The same for a DEK seed under a local key, with that local key as Transit encrypted it. */
export function makeLocalAnnotations(clusterId: string, wrappedKey: string): Annotations {
  return {
    [VERSION_KEY]: Buffer.from(LOCAL_FORMAT_VERSION),
    [CLUSTER_KEY]: Buffer.from(clusterId),
    [LOCAL_KEY_KEY]: Buffer.from(wrappedKey, 'latin1'),
  }
}

/** What annotations claim; none of it is trusted before `checkClaim`. */
export interface AnnotatedFacts {
  readonly clusterId: string
  /** The local key as Transit encrypted it; absent if Transit encrypted the DEK seed itself. */
  readonly wrappedKey?: Uint8Array | undefined
}

/**
 * Reads annotations. Throws ANNOTATIONS_INVALID unless they are exactly what {@link makeAnnotations} or
 * {@link makeLocalAnnotations} produces: nothing missing, nothing more, a known format version.
 */
export function readAnnotations(annotations: Annotations): AnnotatedFacts {
  const version = annotations[VERSION_KEY]
  const cluster = annotations[CLUSTER_KEY]
  if (version === undefined || cluster === undefined) throw foreign()
  const clusterId = viewOf(cluster).toString('utf8')
  const { length } = Object.keys(annotations)
  switch (viewOf(version).toString('latin1')) {
    case FORMAT_VERSION:
      if (length !== 2) throw foreign()
      return { clusterId }
    case LOCAL_FORMAT_VERSION: {
      const wrappedKey = annotations[LOCAL_KEY_KEY]
      if (wrappedKey === undefined || length !== 3) throw foreign()
      return { clusterId, wrappedKey }
    }
    default:
      throw new BridgeError(
        'ANNOTATIONS_INVALID',
        `the format version of the annotations is neither ${FORMAT_VERSION} nor ${LOCAL_FORMAT_VERSION}; a newer transit-bridge wrote this data, or it was changed`,
      )
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** The local key in annotations, as Transit encrypted it; undefined if there is none. Nothing is checked. */
export function findWrappedKey(annotations: Annotations): Uint8Array | undefined {
  return annotations[LOCAL_KEY_KEY]
}

function foreign(): BridgeError {
  return new BridgeError(
    'ANNOTATIONS_INVALID',
    'the annotations are not those of transit-bridge; another plugin wrote this data, or it was changed',
  )
}

/** The AAD that Transit authenticates with each ciphertext: the annotations in a fixed order, sorted by name. */
export function encodeAssociatedData(annotations: Annotations): Buffer {
  const names = Object.keys(annotations)
  const known: Uint8Array[] = []
  for (const { name, bytes } of KNOWN_NAMES) {
    const value = annotations[name]
    if (value !== undefined) known.push(bytes, value)
  }
  // Sorting takes longer than the rest.
  if (known.length === names.length * 2) return encodeCanonically(DOMAIN, known)
  const all = names.toSorted().flatMap((name) => [name, annotations[name] ?? EMPTY])
  return encodeCanonically(DOMAIN, all)
}
