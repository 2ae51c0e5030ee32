import { quoteForShell } from '../../text/shell.ts'
import { VAULT_NAME } from '../class/key-fields.ts'
import { findPathFault } from '../class/object-path.ts'
import { readSecretPath, type SecretPlace } from './secret-path.ts'

/** Stands for a ciphertext that a person must create. csi check reports it. */
const TO_REPLACE = 'vault:REPLACE'
/** Encrypts what a command prints. A person replaces KEY. */
const ENCRYPT = '| base64 -w0 | vault write -field=ciphertext transit/encrypt/KEY plaintext=-'
const KNOWN: ReadonlySet<string> = new Set([
  'objectName',
  'secretPath',
  'secretKey',
  'method',
  'secretArgs',
  'encoding',
  'filePermission',
])
const ARGUMENTS_OF_DECRYPT: ReadonlySet<string> = new Set([
  'ciphertext',
  'context',
  'associated_data',
])

type Fields = Readonly<Record<string, unknown>>
/** An object of our class, as it is written. */
export type ConvertedObject = Record<string, string>

/** One object of the Vault provider, and how its parts are reported. */
export interface VaultObject {
  readonly fields: Fields
  /** Permission bits as octal digits, or undefined for a value that is not a permission. */
  readonly mode: string | undefined
  /** Reports a field without a counterpart. */
  readonly fault: (field: string, message: string, hint?: string) => void
}

/** Converts one object. Returns undefined if this provider has no similar type. */
export function convertObject(object: VaultObject): ConvertedObject | undefined {
  const { fields, fault } = object
  for (const name of Object.keys(fields)) {
    if (!KNOWN.has(name)) fault(name, 'has no counterpart', 'remove it')
  }
  const { objectName, secretPath } = fields
  if (typeof objectName !== 'string' || typeof secretPath !== 'string') {
    fault('', 'needs the texts objectName and secretPath')
    return undefined
  }
  const [pathFault, pathHint] = findPathFault(objectName)?.split('; ') ?? []
  if (pathFault !== undefined) fault('objectName', pathFault, pathHint)
  const content = convertContent(readSecretPath(secretPath), object)
  return content && { path: objectName, ...content, ...convertMode(object) }
}

function convertContent(place: SecretPlace, object: VaultObject): ConvertedObject | undefined {
  switch (place.kind) {
    case 'decrypt':
      return convertDecrypt(place.mount, place.key, object)
    case 'kv':
      return convertKv(place, object)
    case 'transit': {
      const { type, advice, version } = place
      object.fault('secretPath', `mounts the JSON of ${place.operation}`, advice)
      return (
        type && {
          type,
          ...keyFields(place.mount, place.key),
          ...(version !== undefined && { version }),
          ...draftOf(type),
        }
      )
    }
    case 'other':
      object.fault(
        'secretPath',
        'is not a Transit path',
        `keep dynamic credentials with the Vault provider; if this is a value of the KV engine, encrypt it with Transit: vault read ${partOf(object)} ${quoteForShell(String(object.fields['secretPath']))} ${ENCRYPT}`,
      )
      return undefined
  }
}

function convertDecrypt(mount: string, key: string, object: VaultObject): ConvertedObject {
  const { fields, fault } = object
  const args = readArguments(fields)
  for (const name of Object.keys(args)) {
    if (!ARGUMENTS_OF_DECRYPT.has(name)) fault('secretArgs', `has ${name}, without a counterpart`)
  }
  if (!VAULT_NAME.pattern.test(key)) fault('secretPath', 'has no valid name of a Transit key')
  if (fields['secretKey'] !== 'plaintext')
    fault('secretKey', 'is not plaintext', 'decrypt mounts the plaintext, never the JSON around it')
  const { ciphertext, context, associated_data: associatedData } = args
  for (const name of ['context', 'associated_data'] as const) {
    if (name in args && typeof args[name] !== 'string')
      fault('secretArgs', `has ${name} with a value that is not text`, 'put it in quotes')
  }
  if (typeof ciphertext !== 'string') fault('secretArgs', 'has no ciphertext')
  return {
    type: 'decrypt',
    ...keyFields(mount, key),
    ciphertext: typeof ciphertext === 'string' ? ciphertext : TO_REPLACE,
    ...(typeof context === 'string' && { context }),
    ...(typeof associatedData === 'string' && { associatedData }),
    ...convertEncodingOfPlaintext(object),
  }
}

/** Transit returns base64. The Vault provider writes it as it is, or decodes it with `encoding: base64`. */
function convertEncodingOfPlaintext({ fields, fault }: VaultObject): ConvertedObject {
  const { encoding } = fields
  if (encoding === 'base64') return {}
  if (encoding !== undefined && encoding !== 'utf-8' && encoding !== '')
    fault(
      'encoding',
      'does not fit the base64 that Transit returns',
      'use one of the encodings in docs/csi.md',
    )
  return { encoding: 'base64' }
}

function convertKv(place: SecretPlace & { kind: 'kv' }, object: VaultObject): ConvertedObject {
  const { fields, fault } = object
  if (fields['secretArgs'] !== undefined) fault('secretArgs', 'has no counterpart', 'remove it')
  const optionEnd = place.name.startsWith('-') ? '-- ' : ''
  const version = place.version === undefined ? '' : `-version=${place.version} `
  const read = `kv get -mount=${quoteForShell(place.mount)} ${version}${partOf(object)} ${optionEnd}${quoteForShell(place.name)}`
  fault(
    'secretPath',
    'is a value of the KV engine, which this provider does not read',
    `encrypt the value with Transit and put the ciphertext into the class: vault ${read} ${ENCRYPT}`,
  )
  return { type: 'decrypt', key: 'REPLACE', ciphertext: TO_REPLACE, ...convertDecoding(object) }
}

/** The Vault provider reads a number or a boolean as text. Without a field it mounts the whole answer. */
function partOf({ fields }: VaultObject): string {
  const { secretKey } = fields
  const isField = ['string', 'number', 'boolean'].includes(typeof secretKey)
  return isField ? `-field=${quoteForShell(String(secretKey))}` : '-format=json'
}

/** `encoding` of the Vault provider says how the stored text is decoded. */
function convertDecoding({ fields, fault }: VaultObject): ConvertedObject {
  const { encoding } = fields
  if (encoding === 'base64' || encoding === 'hex') return { decode: encoding }
  if (encoding !== undefined && encoding !== 'utf-8' && encoding !== '')
    fault('encoding', 'is not known', 'use base64, hex or utf-8')
  return {}
}

function convertMode({ fields, mode, fault }: VaultObject): ConvertedObject {
  if (mode !== undefined && /^0[4-7][0-7]{2}$/.test(mode)) return { mode }
  if (fields['filePermission'] !== undefined)
    fault('filePermission', 'is not a mode that the owner can read', 'use 0400 or more')
  return {}
}

/** An invalid name is reported and left for a person to correct. */
function keyFields(mount: string, key: string): ConvertedObject {
  return { key, ...(mount === 'transit' ? {} : { mount }) }
}

function draftOf(type: string): ConvertedObject {
  return type === 'dataKey' ? { wrapped: TO_REPLACE } : {}
}

function readArguments({ secretArgs }: Fields): Fields {
  const isMapping = typeof secretArgs === 'object' && secretArgs !== null
  return isMapping && !Array.isArray(secretArgs) ? (secretArgs as Fields) : {}
}
