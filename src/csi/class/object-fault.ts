import { BridgeError, isOutage, type ErrorCode } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import { nameObject, type ClassObject } from './object-types.ts'

const MAX_TOLD = 8

/** Objects that could not be had, and the one reason for all of them. */
export interface ObjectFault {
  readonly objects: readonly ClassObject[]
  readonly error: BridgeError
}

export interface FaultPlace {
  readonly role: string
  readonly mount: string
}

/** Whether a reason is that something does not exist, which an optional object may be. */
export function isAbsence(error: BridgeError): boolean {
  return error.code === 'KEY_MISSING' || error.code === 'OBJECT_MISSING'
}

/** One error for all that a Mount could not have: an outage before all else, since it passes by itself. */
export function joinFaults(faults: readonly ObjectFault[], place: FaultPlace): BridgeError {
  const whole = faults.find(({ error }) => isOutage(error)) ?? faults.find(isAboutIdentity)
  if (whole !== undefined) return whole.error
  const told = faults.slice(0, MAX_TOLD).map((fault) => describe(fault, place))
  const rest = faults.length - told.length
  const all = rest > 0 ? [...told, `${String(rest)} more`] : told
  const message =
    all.length === 1
      ? all.join('')
      : all.map((text, index) => `(${String(index + 1)}) ${text}`).join(' ')
  const [first] = faults
  return new BridgeError(codeOf(first?.error.code ?? 'INTERNAL'), message, { cause: first?.error })
}

/** A login that failed is no matter of one object. */
function isAboutIdentity({ error }: ObjectFault): boolean {
  return error.code === 'LOGIN_REFUSED' || error.code === 'CANCELLED'
}

/** A key that is missing is no fault of the program's own configuration here, but of a class. */
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
    return `vault itself denies role ${place.role} what this needs: ${message}; a policy of that role must allow ${rightOf(object, place.mount)}`
  }
  if (code === 'CIPHERTEXT_INVALID') {
    return `key ${key} does not decrypt it: ${message}; is it a ciphertext of this key, made with the same context and associatedData?`
  }
  return message
}

/** The line of a policy that an object needs; see vault-policies/csi.hcl. */
function rightOf({ type, key }: ClassObject, mount: string): string {
  if (type === 'decrypt' || type === 'dataKey') return `update on ${mount}/decrypt/${key}`
  const read = `read on ${mount}/keys/${key}`
  return type === 'exportedKey' ? `${read} and on ${mount}/export/*/${key}` : read
}

/** A 404 says nothing; of other absences (soft-deleted, no such version) Vault's words say which. */
function explainAbsence(key: string, mount: string, error: BridgeError): string {
  const { cause, message } = error
  const isPlain = cause instanceof BridgeError && cause.code === 'VAULT_NOT_FOUND'
  return isPlain ? noSuchKey(key, mount) : `${noSuchKey(key, mount)} (${message})`
}

function noSuchKey(key: string, mount: string): string {
  return `vault has no transit key ${key} at mount ${mount}; correct its name, make the key, or write optional: true`
}

/** The metadata of a key, or the error that an object of it ends in. */
export function requireKey(key: TransitKey | undefined, name: string, mount: string): TransitKey {
  if (key === undefined) throw new BridgeError('OBJECT_MISSING', noSuchKey(name, mount))
  if (!key.softDeleted) return key
  throw new BridgeError(
    'OBJECT_MISSING',
    `transit key ${name} is soft-deleted; restore it by a write to ${mount}/keys/${name}/soft-delete-restore`,
  )
}
