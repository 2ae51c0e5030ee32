import { splitMessage, type Fault } from '../../yaml/fault.ts'
import { listChoices } from '../../text/nearest.ts'
import { explainWrongType } from '../../yaml/type-words.ts'
import { readCiphertextVersion } from '../../transit/ciphertext.ts'
import { OBJECT_NAME, readBundleFields, readTemplateFields } from './composite-fields.ts'
import { readJwksFields, readKey, readPublicKeyFields } from './key-fields.ts'
import { FieldReader, type TextRule } from './object-fields.ts'
import { findPathFault } from './object-path.ts'
import { readSelection } from './pointer.ts'
import type { WantedPlace } from '../engine-place.ts'
import { readPlace } from './place-fields.ts'
import {
  COMMON_FIELDS,
  DECODINGS,
  ENCODINGS,
  FIELDS_OF,
  OBJECT_TYPES,
  type CiphertextObject,
  type ClassObject,
  type Encoding,
} from './object-types.ts'

/**
 * Files belong to root, and the driver can change neither owner nor group (secrets-store-csi-driver#858), so non-root
 * processes need this mode. Only containers that mount the volume see the files.
 */
const DEFAULT_MODE = 0o444

const MODE: TextRule = {
  pattern: /^0[4-7][0-7]{2}$/,
  message: 'must be four octal digits in quotes, with read permission for the owner; write "0444"',
}

type CommonFields = Pick<
  ClassObject,
  'index' | 'name' | 'path' | 'isMounted' | 'mode' | 'optional' | 'mount' | 'vaultNamespace'
>

/** Reads one object of a class, which uses the engine of the class unless it names one. Returns undefined after a fault. */
export function readObject(
  index: number,
  value: unknown,
  ofClass: WantedPlace,
  faults: Fault[],
): ClassObject | undefined {
  const place = `objects[${String(index)}]`
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push({ path: place, ...splitMessage(explainWrongType(value, 'a mapping')) })
    return undefined
  }
  const before = faults.length
  const reader = new FieldReader(`${place}.`, value as Readonly<Record<string, unknown>>, faults)
  const common = readCommon(index, ofClass, reader)
  const object = readTyped(common, reader)
  return faults.length === before ? object : undefined
}

/** After a fault the object is discarded, so the substitutes for invalid fields are never used. */
function readCommon(index: number, ofClass: WantedPlace, reader: FieldReader): CommonFields {
  const name = reader.has('name') ? reader.text('name', '', OBJECT_NAME) : undefined
  const isMounted = reader.has('path') || !reader.has('name')
  const path = isMounted ? reader.text('path', 'the name of the file in the volume') : name
  const pathFault = path === undefined || !isMounted ? undefined : findPathFault(path)
  if (pathFault !== undefined) reader.fault('path', pathFault)
  const mode = reader.has('mode') ? reader.text('mode', '', MODE) : undefined
  if (mode !== undefined && !isMounted)
    reader.fault('mode', 'is only for an object with a path; add path, or remove mode')
  return {
    index,
    ...ofClass,
    ...readPlace(reader),
    name,
    path: path ?? '',
    isMounted,
    mode: mode === undefined ? DEFAULT_MODE : Number.parseInt(mode, 8),
    optional: reader.toggle('optional'),
  }
}

function readTyped(common: CommonFields, reader: FieldReader): ClassObject | undefined {
  if (!reader.has('type')) {
    reader.fault('type', `is missing; use ${listChoices(OBJECT_TYPES)}`)
    return undefined
  }
  const type = reader.choice('type', OBJECT_TYPES)
  if (type === undefined) return undefined
  reader.refuseOthers([...COMMON_FIELDS, ...FIELDS_OF[type]], explainField)
  switch (type) {
    case 'publicKey':
      return { ...common, type, key: readKey(reader), ...readPublicKeyFields(reader) }
    case 'jwks':
      return { ...common, type, ...readJwksFields(reader) }
    case 'certificate':
      return { ...common, type, key: readKey(reader), version: reader.version('version') }
    case 'dataKey':
      return {
        ...readCiphertext(common, 'wrapped', reader),
        type,
        encoding: readEncoding(reader),
      }
    case 'decrypt':
      return {
        ...readCiphertext(common, 'ciphertext', reader),
        type,
        encoding: readEncoding(reader),
        selection: readSelection(reader),
        decode: reader.optionalChoice('decode', DECODINGS),
      }
    case 'exportedKey':
      return {
        ...common,
        type,
        key: readKey(reader),
        version: reader.version('version'),
        encoding: readEncoding(reader),
      }
    case 'keyInfo':
      return { ...common, type, key: readKey(reader) }
    case 'bundle':
      return { ...common, type, ...readBundleFields(reader) }
    case 'template':
      return { ...common, type, ...readTemplateFields(reader) }
  }
}

function readCiphertext(
  common: CommonFields,
  field: string,
  reader: FieldReader,
): Omit<CiphertextObject, 'type' | 'encoding'> {
  const ciphertext = reader.text(field, 'the ciphertext from Transit: vault:v1:…')
  if (ciphertext === '') reader.fault(field, 'is empty')
  else if (ciphertext !== undefined && readCiphertextVersion(ciphertext) === undefined)
    reader.fault(field, 'is not a Transit ciphertext; expected vault:v1:… followed by base64')
  return {
    ...common,
    key: readKey(reader),
    ciphertext: ciphertext ?? '',
    context: reader.bytes('context'),
    associatedData: reader.bytes('associatedData'),
  }
}

function readEncoding(reader: FieldReader): Encoding {
  return reader.optionalChoice('encoding', ENCODINGS) ?? 'raw'
}

/** The message for a field of another type, which is probably not a typo. */
function explainField(name: string): string | undefined {
  const owners = OBJECT_TYPES.filter((type) => FIELDS_OF[type].includes(name))
  return owners.length === 0
    ? undefined
    : `is not valid here; it belongs to type ${listChoices(owners)}`
}
