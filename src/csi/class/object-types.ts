import { CSI_OBJECT_TYPES } from '../../config/config.ts'
import type { KeyIdRule } from './key-id.ts'
import type { Selection } from './pointer.ts'
import type { WantedPlace } from '../engine-place.ts'

/** Which versions of a key an object contains. `all` makes a folder with one file per version. */
export type WantedVersion = number | 'latest' | 'all'

/** The place is that of the class, or of the object; the configuration has a default for both parts. */
interface ObjectBase extends WantedPlace {
  /** Position in the list of the class, for messages. */
  readonly index: number
  /** By which bundles and templates refer to it. */
  readonly name?: string | undefined
  /** Relative and normalized. A folder if there is a file per version. The name if it is not mounted. */
  readonly path: string
  /** False if the content is only part of bundles and templates. */
  readonly isMounted: boolean
  /** Permission bits of the file. */
  readonly mode: number
  /** If the key or version does not exist, the object is omitted instead of failing the Mount. */
  readonly optional: boolean
}

interface KeyedBase extends ObjectBase {
  /** Name of the Transit key. */
  readonly key: string
}

export const RSA_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'RSA-OAEP-256',
] as const
/** The algorithm that an RSA key is used with. A JWK states it; Transit does not store it. */
export type RsaAlgorithm = (typeof RSA_ALGORITHMS)[number]

export const PUBLIC_KEY_FORMATS = ['pem', 'jwk', 'der', 'openssh'] as const
/** How content is written to its file. `utf8` is `raw` with the condition that the content is text. */
export const ENCODINGS = ['raw', 'base64', 'hex', 'utf8'] as const
export type Encoding = (typeof ENCODINGS)[number]
/** The text form of a value that is decoded before it is written. */
export const DECODINGS = ['base64', 'hex'] as const
export type Decoding = (typeof DECODINGS)[number]

interface PublicKeyBase extends ObjectBase {
  /** The context of a derived key. */
  readonly context?: Buffer | undefined
}

/** The fields of a JWK that Transit does not know. */
export interface JwkFields {
  /** Only for RSA keys. */
  readonly alg?: RsaAlgorithm | undefined
  readonly kid?: KeyIdRule | undefined
}

export interface PublicKeyObject extends KeyedBase, PublicKeyBase, JwkFields {
  readonly type: 'publicKey'
  readonly format: (typeof PUBLIC_KEY_FORMATS)[number]
  readonly version: WantedVersion
  /** Only in the format openssh. */
  readonly comment?: string | undefined
}

export interface JwksObject extends PublicKeyBase, JwkFields {
  readonly type: 'jwks'
  /** Names of the Transit keys, in the order of the class. */
  readonly keys: readonly string[]
}

/** A certificate that was stored with the key, and its chain. */
export interface CertificateObject extends KeyedBase {
  readonly type: 'certificate'
  readonly version: WantedVersion
}

export interface KeyInfoObject extends KeyedBase {
  readonly type: 'keyInfo'
}

/** A value that Transit decrypts. In a class, the ciphertext of a dataKey is the field `wrapped`. */
export interface CiphertextObject extends KeyedBase {
  readonly type: 'dataKey' | 'decrypt'
  readonly ciphertext: string
  readonly encoding: Encoding
  readonly selection?: Selection | undefined
  readonly decode?: Decoding | undefined
  readonly context?: Buffer | undefined
  readonly associatedData?: Buffer | undefined
}

export interface ExportedKeyObject extends KeyedBase {
  readonly type: 'exportedKey'
  readonly version: WantedVersion
  readonly encoding: Encoding
}

/** The contents of other objects, one after the other. */
export interface BundleObject extends ObjectBase {
  readonly type: 'bundle'
  /** Names of objects. */
  readonly of: readonly string[]
}

/** How a template inserts a content. `text` is what a placeholder without an encoding means. */
export const TEMPLATE_ENCODINGS = ['text', 'base64', 'hex', 'json'] as const
export type TemplateEncoding = (typeof TEMPLATE_ENCODINGS)[number]

/** A text with the contents of other objects in it. */
export interface TemplateObject extends ObjectBase {
  readonly type: 'template'
  /** As in the class. */
  readonly text: string
  readonly parts: readonly (
    string | { readonly name: string; readonly encoding: TemplateEncoding }
  )[]
}

/** Built from key metadata only. */
export type PublicObject = PublicKeyObject | JwksObject | CertificateObject | KeyInfoObject
/** Built from decrypted or exported content, which is never shared between pods. */
export type SecretObject = CiphertextObject | ExportedKeyObject
/** Made from the content of other objects of the class. */
export type CompositeObject = BundleObject | TemplateObject
export type ClassObject = PublicObject | SecretObject | CompositeObject

export const OBJECT_TYPES = [...CSI_OBJECT_TYPES, 'bundle', 'template'] as const
export type ObjectType = (typeof OBJECT_TYPES)[number]

const KEYED: readonly string[] = ['name', 'key', 'mount', 'vaultNamespace']

/** The fields of each type in addition to {@link COMMON_FIELDS}. */
export const FIELDS_OF: Readonly<Record<ObjectType, readonly string[]>> = {
  publicKey: [...KEYED, 'context', 'format', 'version', 'alg', 'kid', 'comment'],
  jwks: [...KEYED, 'keys', 'context', 'alg', 'kid'],
  certificate: [...KEYED, 'version'],
  dataKey: [...KEYED, 'wrapped', 'encoding', 'context', 'associatedData'],
  decrypt: [
    ...KEYED,
    'ciphertext',
    'jsonPointer',
    'yamlPointer',
    'decode',
    'encoding',
    'context',
    'associatedData',
  ],
  exportedKey: [...KEYED, 'version', 'encoding'],
  keyInfo: KEYED,
  bundle: ['of'],
  template: ['text'],
}

export const COMMON_FIELDS: readonly string[] = ['path', 'type', 'mode', 'optional']

const PUBLIC_TYPES: ReadonlySet<string> = new Set<PublicObject['type']>([
  'publicKey',
  'jwks',
  'certificate',
  'keyInfo',
])

export function isPublic(object: ClassObject): object is PublicObject {
  return PUBLIC_TYPES.has(object.type)
}

export function isComposite(object: ClassObject): object is CompositeObject {
  return object.type === 'bundle' || object.type === 'template'
}

/** Returns the names of the Transit keys that an object uses. */
export function keysOf(object: ClassObject): readonly string[] {
  if (isComposite(object)) return []
  return object.type === 'jwks' ? object.keys : [object.key]
}

/** Whether the object is a folder with one file per version. */
export function isFolder(object: ClassObject): boolean {
  return 'version' in object && object.version === 'all'
}

/** A message has 1,000 characters for what is wrong and what to do. A path can have 4,084. */
const MAX_SHOWN_PATH = 80

/** Position and path of an object, for messages. */
export function nameObject({ index, path }: Pick<ClassObject, 'index' | 'path'>): string {
  const shown = path.length > MAX_SHOWN_PATH ? `${path.slice(0, MAX_SHOWN_PATH)}…` : path
  return `objects[${String(index)}] (${shown})`
}
