import { BridgeError } from '../errors.ts'
import { parseBoundedJson } from './bounded-json.ts'

/** Prefix of the attributes that the kubelet and the driver set. A pod author controls all others. */
export const DRIVER_PREFIX = 'csi.storage.k8s.io/'
export const TOKENS = `${DRIVER_PREFIX}serviceAccount.tokens`
/** The class name, which the driver sends without the prefix. */
const CLASS_NAME = 'secretProviderClass'
const LONGEST_NAME = 253
/** One of the fields that identify a volume, as Go's json.Marshal writes it. */
const OWNER_FIELD =
  /"(csi\.storage\.k8s\.io\/(?:pod\.(?:name|namespace|uid)|serviceAccount\.name)|secretProviderClass)":"([\w.-]{1,253})"/g
/**
 * Longest JSON text of a request. A class has at most 256 KiB and a token 16 KiB; scanning and parsing the 4 MiB of a
 * message would hold the event loop for 50 ms (docs/design.md, "Memory bounds").
 */
export const MAX_TEXT_LENGTH = 1024 * 1024

/** The pod of a volume. The secrets-store-sync-controller sends its own name and uid. */
export interface PodReference {
  readonly namespace: string
  readonly serviceAccount: string
  readonly name: string
  readonly uid: string
}

/** Whose volume a request is for. */
export interface VolumeOwner {
  readonly pod: PodReference
  /** Name of the SecretProviderClass. */
  readonly className: string
}

/** A parsed but unverified Mount request. */
export interface MountRequest extends VolumeOwner {
  /** Parameters of the class and the pod's volumeAttributes, sorted by name. A pod author controls them. */
  readonly parameters: Readonly<Record<string, string>>
  /** JSON of the tokens by audience. Undefined if the driver sent none. */
  readonly tokens: string | undefined
}

/** Parses the two JSON texts of a Mount. Throws REQUEST_INVALID; its message contains nothing from either text. */
export function readMountRequest(attributes: string, secrets: string): MountRequest {
  const all = parseTexts(attributes, 'attributes')
  const isParameter = (name: string) => !name.startsWith(DRIVER_PREFIX) && name !== CLASS_NAME
  const names = Object.keys(all).filter(isParameter).toSorted()
  return {
    pod: readPod(all),
    className: all[CLASS_NAME] ?? '',
    parameters: Object.fromEntries(names.map((name) => [name, all[name] ?? ''])),
    tokens: all[TOKENS] ?? parseTexts(secrets, 'secrets')[TOKENS],
  }
}

/**
 * Finds the owner in attributes that {@link readMountRequest} refuses, so that the failure counts for a volume. The
 * driver escapes quotes in values, so only a field of the object itself matches. Undefined if there is none.
 */
export function findVolumeOwner(attributes: string): VolumeOwner | undefined {
  const found = [...attributes.matchAll(OWNER_FIELD)].map(([, name = '', value = '']) => [
    name,
    value,
  ])
  const all = Object.fromEntries(found) as Readonly<Record<string, string>>
  try {
    return { pod: readPod(all), className: all[CLASS_NAME] ?? '' }
  } catch {
    return undefined
  }
}

/** Reads what the kubelet says about a pod. Throws REQUEST_INVALID. */
export function readPod(attributes: Readonly<Record<string, string>>): PodReference {
  return {
    namespace: readName(attributes, 'pod.namespace'),
    serviceAccount: readName(attributes, 'serviceAccount.name'),
    name: readName(attributes, 'pod.name'),
    uid: readName(attributes, 'pod.uid'),
  }
}

/** "namespace/name" of a pod, for messages and log lines. */
export function namePod({ namespace, name }: PodReference): string {
  return `${namespace}/${name}`
}

function readName(attributes: Readonly<Record<string, string>>, name: string): string {
  const value = attributes[`${DRIVER_PREFIX}${name}`]
  if (value !== undefined && /^[\w.-]+$/.test(value) && value.length <= LONGEST_NAME) return value
  throw new BridgeError(
    'REQUEST_INVALID',
    `the CSI driver sent no usable ${DRIVER_PREFIX}${name}; its CSIDriver object needs podInfoOnMount: true`,
  )
}

/** Where the driver has the texts of a request from. */
export const ORIGIN = {
  attributes: 'the parameters of the class and the volumeAttributes of the pod',
  secrets: 'the Secret in nodePublishSecretRef of the pod',
} as const

/** The driver sends "null" for an empty field. */
function parseTexts(text: string, field: keyof typeof ORIGIN): Readonly<Record<string, string>> {
  if (text === '' || text === 'null') return {}
  if (text.length > MAX_TEXT_LENGTH) {
    throw new BridgeError(
      'REQUEST_INVALID',
      `${field} of the request (${ORIGIN[field]}) are longer than 1 MiB; a SecretProviderClass has at most 256 KiB: split it`,
    )
  }
  const value = parseBoundedJson(text)
  const isTexts =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((inner) => typeof inner === 'string')
  if (isTexts) return Object.assign(Object.create(null), value) as Record<string, string>
  throw new BridgeError(
    'REQUEST_INVALID',
    `${field} of the request is not a JSON object with text values; only the Secrets Store CSI driver may use this socket`,
  )
}
