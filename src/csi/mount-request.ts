import { BridgeError } from '../errors.ts'

/** Prefix of what kubelet and the driver say; a pod author decides over everything else. */
const DRIVER_PREFIX = 'csi.storage.k8s.io/'
const TOKENS = `${DRIVER_PREFIX}serviceAccount.tokens`
/** Name of the class; the driver sends it without its prefix. */
const CLASS_NAME = 'secretProviderClass'
const LONGEST_NAME = 253

/** The pod of a volume; for the secrets-store-sync-controller, name and uid are those of the controller itself. */
export interface PodReference {
  readonly namespace: string
  readonly serviceAccount: string
  readonly name: string
  readonly uid: string
}

/** A Mount as the driver sent it, taken apart and not yet believed. */
export interface MountRequest {
  readonly pod: PodReference
  /** Name of the SecretProviderClass. */
  readonly className: string
  /** What the class and the pod's volumeAttributes say, in the order of the names: under the pod author's control. */
  readonly parameters: Readonly<Record<string, string>>
  /** JSON of the tokens by audience; undefined when the driver sent none. */
  readonly tokens: string | undefined
}

/** Reads the two JSON texts of a Mount. Throws REQUEST_INVALID, whose message holds nothing of either. */
export function readMountRequest(attributes: string, secrets: string): MountRequest {
  const all = parseTexts(attributes, 'attributes')
  const isParameter = (name: string) => !name.startsWith(DRIVER_PREFIX) && name !== CLASS_NAME
  const names = Object.keys(all).filter(isParameter).toSorted()
  return {
    pod: {
      namespace: readName(all, 'pod.namespace'),
      serviceAccount: readName(all, 'serviceAccount.name'),
      name: readName(all, 'pod.name'),
      uid: readName(all, 'pod.uid'),
    },
    className: all[CLASS_NAME] ?? '',
    parameters: Object.fromEntries(names.map((name) => [name, all[name] ?? ''])),
    tokens: all[TOKENS] ?? parseTexts(secrets, 'secrets')[TOKENS],
  }
}

/** "namespace/name" of a pod, as messages and log lines call it. */
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

/** The text is "null" where there is nothing. A parser's error is not kept: it quotes what it read. */
function parseTexts(text: string, field: string): Readonly<Record<string, string>> {
  if (text === '' || text === 'null') return {}
  const value = parseJson(text)
  const isTexts =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((inner) => typeof inner === 'string')
  if (isTexts) return Object.assign(Object.create(null), value) as Record<string, string>
  throw new BridgeError(
    'REQUEST_INVALID',
    `${field} of the request is not a JSON object of texts; only the Secrets Store CSI driver may call this socket`,
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
