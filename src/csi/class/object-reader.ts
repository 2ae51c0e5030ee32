import { CSI_OBJECT_TYPES } from '../../config/config.ts'
import type { Fault } from '../../yaml/fault.ts'
import { listChoices } from '../../text/nearest.ts'
import { nameType } from '../../yaml/type-words.ts'
import { readCiphertextVersion } from '../../transit/ciphertext.ts'
import { FieldReader, type TextRule } from './object-fields.ts'
import { findPathFault } from './object-path.ts'
import { readSelection } from './pointer.ts'
import {
  COMMON_FIELDS,
  DECODINGS,
  ENCODINGS,
  FIELDS_OF,
  PUBLIC_KEY_FORMATS,
  RSA_ALGORITHMS,
  type CiphertextObject,
  type ClassObject,
  type Encoding,
} from './object-types.ts'

/**
 * Files belong to root, and the driver can change neither owner nor group (secrets-store-csi-driver#858), so processes
 * that are not root need this mode. Only containers that mount the volume see the files.
 */
const DEFAULT_MODE = 0o444

/** Vault's GenericNameRegex (sdk/framework/path.go). The length is that of a file name. */
export const VAULT_NAME: TextRule = {
  pattern: /^(?=.{1,255}$)\w([\w.-]*\w)?$/,
  otherwise:
    'is not a valid name in Vault; use letters, digits and _, and between them also . and -',
}
const MODE: TextRule = {
  pattern: /^0[4-7][0-7]{2}$/,
  otherwise:
    'is not a mode that its owner can read; write four octal digits in quotes, for example "0444"',
}

type Place = Pick<ClassObject, 'index' | 'path' | 'mode' | 'optional' | 'key'>

/** Reads one object of a class. Returns undefined after a fault. */
export function readObject(
  index: number,
  value: unknown,
  faults: Fault[],
): ClassObject | undefined {
  const place = `objects[${String(index)}]`
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push({ path: place, message: `must be a mapping, not ${nameType(value)}` })
    return undefined
  }
  const before = faults.length
  const reader = new FieldReader(`${place}.`, value as Readonly<Record<string, unknown>>, faults)
  const common = readCommon(index, reader)
  const object = readTyped(common, reader)
  return faults.length === before ? object : undefined
}

/** After a fault the object is discarded, so the substitutes for invalid fields are never used. */
function readCommon(index: number, reader: FieldReader): Place {
  const path = reader.text('path', 'the name of the file in the volume')
  const pathFault = path === undefined ? undefined : findPathFault(path)
  if (pathFault !== undefined) reader.fault('path', pathFault)
  const mode = reader.has('mode') ? reader.text('mode', '', MODE) : undefined
  return {
    index,
    path: path ?? '',
    key: reader.text('key', 'the name of a transit key', VAULT_NAME) ?? '',
    mode: mode === undefined ? DEFAULT_MODE : Number.parseInt(mode, 8),
    optional: reader.toggle('optional'),
  }
}

function readTyped(place: Place, reader: FieldReader): ClassObject | undefined {
  if (!reader.has('type')) {
    reader.fault('type', `is missing; write ${listChoices(CSI_OBJECT_TYPES)}`)
    return undefined
  }
  const type = reader.choice('type', CSI_OBJECT_TYPES)
  if (type === undefined) return undefined
  reader.refuseOthers([...COMMON_FIELDS, ...FIELDS_OF[type]], explainField)
  switch (type) {
    case 'publicKey':
      return {
        ...place,
        type,
        format: optionalChoice(reader, 'format', PUBLIC_KEY_FORMATS) ?? 'pem',
        version: reader.version('version'),
        ...readAlgorithm(reader),
      }
    case 'jwks':
      return { ...place, type, ...readAlgorithm(reader) }
    case 'dataKey':
      return {
        ...readCiphertext(place, 'wrapped', reader),
        type,
        encoding: readEncoding(reader),
      }
    case 'decrypt':
      return {
        ...readCiphertext(place, 'ciphertext', reader),
        type,
        encoding: readEncoding(reader),
        selection: readSelection(reader),
        decode: optionalChoice(reader, 'decode', DECODINGS),
      }
    case 'exportedKey':
      return {
        ...place,
        type,
        version: reader.version('version'),
        encoding: readEncoding(reader),
      }
    case 'keyInfo':
      return { ...place, type }
  }
}

function readCiphertext(
  place: Place,
  field: string,
  reader: FieldReader,
): Omit<CiphertextObject, 'type' | 'encoding'> {
  const ciphertext = reader.text(field, 'the ciphertext from Transit: vault:v1:…') ?? ''
  if (ciphertext !== '' && readCiphertextVersion(ciphertext) === undefined)
    reader.fault(field, 'is not a Transit ciphertext; expected vault:v1:… followed by base64')
  else if (ciphertext === '' && reader.has(field)) reader.fault(field, 'is empty')
  return {
    ...place,
    ciphertext,
    context: reader.bytes('context'),
    associatedData: reader.bytes('associatedData'),
  }
}

function readEncoding(reader: FieldReader): Encoding {
  return optionalChoice(reader, 'encoding', ENCODINGS) ?? 'raw'
}

function readAlgorithm(reader: FieldReader) {
  const alg = optionalChoice(reader, 'alg', RSA_ALGORITHMS)
  return alg === undefined ? {} : { alg }
}

function optionalChoice<const T extends string>(
  reader: FieldReader,
  name: string,
  choices: readonly T[],
): T | undefined {
  return reader.has(name) ? reader.choice(name, choices) : undefined
}

/** A field of another type is probably not a typo. */
function explainField(name: string): string | undefined {
  const owners = CSI_OBJECT_TYPES.filter((type) => FIELDS_OF[type].includes(name))
  return owners.length === 0 ? undefined : `it belongs to type ${listChoices(owners)}`
}
