import { BridgeError, isOutage, type ErrorCode } from '../../errors.ts'
import { joinNumbered } from '../../text/numbered.ts'
import type { TransitKey } from '../../transit/key.ts'
import { inVaultNamespace, placeOf, type EnginePlace } from '../engine-place.ts'
import { keysOf, nameObject, type ClassObject } from './object-types.ts'

/** Objects that a message names for one error. */
const MAX_NAMED = 4

/** Failed objects and the error that they share. */
export interface ObjectFault {
  readonly objects: readonly ClassObject[]
  readonly error: BridgeError
}

export interface FaultContext {
  readonly role: string
  /** The engine of objects that name none. */
  readonly home: EnginePlace
}

/** Whether the error means that something does not exist, which does not fail an optional object. */
export function isAbsence(error: BridgeError): boolean {
  return error.code === 'KEY_MISSING' || error.code === 'OBJECT_MISSING'
}

/** Returns one error for all failed objects. An outage takes precedence, because it can end without a change. */
export function joinFaults(faults: readonly ObjectFault[], context: FaultContext): BridgeError {
  const whole = faults.find(({ error }) => isOutage(error)) ?? faults.find(isAboutVolume)
  if (whole !== undefined) return whole.error
  const message = joinNumbered(faults.map((fault) => describe(fault, context)))
  const [first] = faults
  return new BridgeError(codeOf(first?.error.code ?? 'INTERNAL'), message, { cause: first?.error })
}

/** A failed login affects all objects, and so does the size of the volume. */
function isAboutVolume({ error }: ObjectFault): boolean {
  return ['LOGIN_REFUSED', 'CANCELLED', 'CONTENT_TOO_LARGE'].includes(error.code)
}

/** KEY_MISSING and KEY_UNSUITABLE are about the program's own key; here the class is wrong. */
function codeOf(code: ErrorCode): ErrorCode {
  if (code === 'KEY_MISSING') return 'OBJECT_MISSING'
  return code === 'KEY_UNSUITABLE' ? 'OBJECT_UNSUITABLE' : code
}

function describe({ objects, error }: ObjectFault, context: FaultContext): string {
  const names = joinFew(objects.map(nameObject))
  // A bundle or template has no key; the fault is that of the part.
  const first = objects.find((object) => keysOf(object).length > 0) ?? objects[0]
  return first === undefined ? error.message : `${names}: ${explain(error, first, context)}`
}

/** The reason must fit into the message, too. */
function joinFew(names: readonly string[]): string {
  const rest = names.length - MAX_NAMED
  const shown = names.slice(0, MAX_NAMED).join(', ')
  return rest > 0 ? `${shown} and ${String(rest)} more` : shown
}

function explain(error: BridgeError, object: ClassObject, { role, home }: FaultContext): string {
  const { code, message } = error
  const key = keysOf(object).join(', ')
  const place = placeOf(object, home)
  if (code === 'KEY_MISSING') return explainAbsence(key, place, error)
  if (code === 'VAULT_DENIED') {
    return `Vault denies this to role ${role}: ${message}; a policy of that role must allow ${permissionFor(object, place)}`
  }
  if (code === 'CIPHERTEXT_INVALID') {
    return `key ${key} cannot decrypt it: ${message}; check that it was encrypted with this key, context and associatedData`
  }
  if (code === 'KEY_UNSUITABLE' && isRejection(error))
    return `key ${key} is not suitable: ${message}; ${adviceFor(object, place)}`
  return message
}

/** Whether Vault's own words are the reason. Ours say what to do. */
function isRejection({ cause }: BridgeError): boolean {
  return cause instanceof BridgeError && cause.code === 'VAULT_REJECTED'
}

function adviceFor({ type }: ClassObject, { mount }: EnginePlace): string {
  if (type === 'exportedKey')
    return `use a key with exportable=true, or set that with a write to ${mount}/keys/KEY/config, which cannot be undone`
  return 'use a key that can decrypt, and write the context if the key is derived'
}

/** The permissions that an object needs; see vault-policies/csi.hcl. */
function permissionFor(object: ClassObject, place: EnginePlace): string {
  const { type } = object
  const { mount } = place
  const paths = keysOf(object).flatMap((key) => {
    if (type === 'decrypt' || type === 'dataKey') return `update on ${mount}/decrypt/${key}`
    const read = `read on ${mount}/keys/${key}`
    return type === 'exportedKey' ? [read, `on ${mount}/export/*/${key}`] : read
  })
  return `${paths.join(' and ')}${inVaultNamespace(place)}`
}

/** A 404 explains nothing more. For other causes (soft-deleted, missing version) Vault's message is included. */
function explainAbsence(key: string, place: EnginePlace, error: BridgeError): string {
  const { cause, message } = error
  const isNotFound = cause instanceof BridgeError && cause.code === 'VAULT_NOT_FOUND'
  return isNotFound ? noSuchKey(key, place) : `${noSuchKey(key, place)} (${message})`
}

function noSuchKey(key: string, place: EnginePlace): string {
  return `Vault has no transit key ${key} at mount ${place.mount}${inVaultNamespace(place)}; correct its name, create the key, or set optional: true`
}

/** Returns the metadata of an existing key. Throws OBJECT_MISSING. */
export function requireKey(
  key: TransitKey | undefined,
  name: string,
  place: EnginePlace,
): TransitKey {
  if (key === undefined) throw new BridgeError('OBJECT_MISSING', noSuchKey(name, place))
  if (!key.softDeleted) return key
  throw new BridgeError(
    'OBJECT_MISSING',
    `transit key ${name} is soft-deleted; restore it with a write to ${place.mount}/keys/${name}/soft-delete-restore${inVaultNamespace(place)}`,
  )
}
