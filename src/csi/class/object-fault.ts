import { BridgeError, isOutage, type ErrorCode } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import { nameObject, type ClassObject } from './object-types.ts'

const MAX_SHOWN = 8

/** Failed objects with the error that they share. */
export interface ObjectFault {
  readonly objects: readonly ClassObject[]
  readonly error: BridgeError
}

export interface FaultPlace {
  readonly role: string
  readonly mount: string
}

/** Whether the error means that something does not exist, which is no failure of an optional object. */
export function isAbsence(error: BridgeError): boolean {
  return error.code === 'KEY_MISSING' || error.code === 'OBJECT_MISSING'
}

/** Returns one error for all failed objects. An outage takes precedence, because it can end without a change. */
export function joinFaults(faults: readonly ObjectFault[], place: FaultPlace): BridgeError {
  const whole = faults.find(({ error }) => isOutage(error)) ?? faults.find(isAboutIdentity)
  if (whole !== undefined) return whole.error
  const shown = faults.slice(0, MAX_SHOWN).map((fault) => describe(fault, place))
  const rest = faults.length - shown.length
  const all = rest > 0 ? [...shown, `${String(rest)} more`] : shown
  const message =
    all.length === 1
      ? all.join('')
      : all.map((text, index) => `(${String(index + 1)}) ${text}`).join(' ')
  const [first] = faults
  return new BridgeError(codeOf(first?.error.code ?? 'INTERNAL'), message, { cause: first?.error })
}

/** A failed login affects all objects. */
function isAboutIdentity({ error }: ObjectFault): boolean {
  return error.code === 'LOGIN_REFUSED' || error.code === 'CANCELLED'
}

/** KEY_MISSING and KEY_UNSUITABLE are about the program's own key; here the class is wrong. */
function codeOf(code: ErrorCode): ErrorCode {
  if (code === 'KEY_MISSING') return 'OBJECT_MISSING'
  return code === 'KEY_UNSUITABLE' ? 'OBJECT_UNSUITABLE' : code
}

function describe({ objects, error }: ObjectFault, place: FaultPlace): string {
  const names = objects.map(nameObject).join(', ')
  const [first] = objects
  return first === undefined ? error.message : `${names}: ${explain(error, first, place)}`
}

function explain(error: BridgeError, object: ClassObject, place: FaultPlace): string {
  const { code, message } = error
  const { key } = object
  if (code === 'KEY_MISSING') return explainAbsence(key, place.mount, error)
  if (code === 'VAULT_DENIED') {
    return `Vault denies this to role ${place.role}: ${message}; a policy of that role must allow ${permissionFor(object, place.mount)}`
  }
  if (code === 'CIPHERTEXT_INVALID') {
    return `key ${key} cannot decrypt it: ${message}; use a ciphertext of this key with the same context and associatedData`
  }
  return message
}

/** The permissions that an object needs; see vault-policies/csi.hcl. */
function permissionFor({ type, key }: ClassObject, mount: string): string {
  if (type === 'decrypt' || type === 'dataKey') return `update on ${mount}/decrypt/${key}`
  const read = `read on ${mount}/keys/${key}`
  return type === 'exportedKey' ? `${read} and on ${mount}/export/*/${key}` : read
}

/** A 404 has no explanation. For other causes (soft-deleted, missing version) Vault's message is included. */
function explainAbsence(key: string, mount: string, error: BridgeError): string {
  const { cause, message } = error
  const isPlain = cause instanceof BridgeError && cause.code === 'VAULT_NOT_FOUND'
  return isPlain ? noSuchKey(key, mount) : `${noSuchKey(key, mount)} (${message})`
}

function noSuchKey(key: string, mount: string): string {
  return `Vault has no transit key ${key} at mount ${mount}; correct its name, create the key, or write optional: true`
}

/** Returns the metadata of an existing key. Throws OBJECT_MISSING. */
export function requireKey(key: TransitKey | undefined, name: string, mount: string): TransitKey {
  if (key === undefined) throw new BridgeError('OBJECT_MISSING', noSuchKey(name, mount))
  if (!key.softDeleted) return key
  throw new BridgeError(
    'OBJECT_MISSING',
    `transit key ${name} is soft-deleted; restore it with a write to ${mount}/keys/${name}/soft-delete-restore`,
  )
}
