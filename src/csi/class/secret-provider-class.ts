import { createHash } from 'node:crypto'
import type { Fault } from '../../yaml/fault.ts'
import { nameType } from '../../yaml/type-words.ts'
import { readYaml, type Source } from '../../yaml/source.ts'
import { BridgeError } from '../../errors.ts'
import { FieldReader } from './object-fields.ts'
import { findPathClashes } from './object-path.ts'
import { readObject, VAULT_NAME } from './object-reader.ts'
import type { ClassObject } from './object-types.ts'

/** What a pod author may say: everything else is the administrator's. */
export const CLASS_PARAMETERS: readonly string[] = ['role', 'objects']
/** Most objects of one class, and most bytes of their text: a class is parsed where every pod's volumes are served. */
const MAX_OBJECTS = 100
const MAX_TEXT_BYTES = 256 * 1024
/**
 * What YAML is built with: parsing takes time for each. Ciphertexts, which make texts long, have hardly any, and a
 * hundred objects with all their fields in JSON, one field a line, have some 8,000.
 */
const STRUCTURE = /[[\]{},:?&*!|>"'\n]|-(?=\s|$)/g
const MAX_STRUCTURE = 10_000
/** kubelet cuts an event at 1 KiB, and a gRPC status travels in a header of at most some KiB. */
const MAX_FAULTS_SHOWN = 12
/** A key of the class can be as long as the class, and a fault names it. */
const MAX_FAULT_LENGTH = 400

/** A SecretProviderClass as this provider reads it. */
export interface SecretProviderClass {
  /** The role of Vault's auth method that the pods of this class log in as. */
  readonly role: string
  readonly objects: readonly ClassObject[]
  /** Stands for role and objects, as they were written. */
  readonly digest: string
}

/** The role that parameters name, if it is text: enough to refuse a class before its objects are parsed. */
export function readRole(parameters: Readonly<Record<string, unknown>>): string | undefined {
  const { role } = parameters
  return typeof role === 'string' && VAULT_NAME.pattern.test(role) ? role : undefined
}

/** A class, or all that is wrong with it. */
export type ReadClass = SecretProviderClass | readonly Fault[]

export function isClass(read: ReadClass): read is SecretProviderClass {
  return 'digest' in read
}

/** Reads the parameters of a class. Faults of the text of `objects` have lines, counted in that text. */
export function readClass(parameters: Readonly<Record<string, unknown>>): ReadClass {
  const faults: Fault[] = []
  const reader = new FieldReader('', parameters, faults)
  reader.refuseOthers(CLASS_PARAMETERS, explainParameter)
  const role = reader.text('role', 'the vault role that pods of this class log in as', VAULT_NAME)
  const text = reader.text('objects', 'a list of what the volume holds, as YAML text')
  const objects = text === undefined ? [] : readObjects(text, faults)
  if (faults.length > 0 || role === undefined) return faults
  const digest = createHash('sha256')
    .update(`${role}\n${text ?? ''}`)
    .digest('base64url')
  return { role, objects, digest }
}

/** As readClass; throws CLASS_INVALID with every fault. */
export function parseClass(parameters: Readonly<Record<string, unknown>>): SecretProviderClass {
  const read = readClass(parameters)
  if (isClass(read)) return read
  throw new BridgeError(
    'CLASS_INVALID',
    `the SecretProviderClass cannot be used: ${describeFaults(read)}`,
  )
}

/** Names that other providers take and that would put something under a pod's control. */
function explainParameter(name: string): string | undefined {
  if (!/addr|url|skip|tls|cert|audience|mount|namespace|token/i.test(name)) return undefined
  return 'addresses, TLS, mounts, namespaces and audiences are set in the configuration of transit-bridge alone'
}

function readObjects(text: string, faults: Fault[]): ClassObject[] {
  const path = 'objects'
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    const message = `is longer than ${String(MAX_TEXT_BYTES / 1024)} KiB`
    faults.push({ path, message, hint: 'spread it over several classes' })
    return []
  }
  if ((text.match(STRUCTURE)?.length ?? 0) > MAX_STRUCTURE) {
    const message = `has more than ${String(MAX_STRUCTURE)} of the characters that YAML is built with`
    faults.push({ path, message, hint: 'a list of objects needs far fewer' })
    return []
  }
  // No class needs an alias, which makes much of little.
  const source = readYaml(text, { maxAliases: 0 })
  if (!('value' in source)) {
    faults.push(
      ...source.map((fault) => ({
        ...fault,
        path: fault.path === '' ? path : `${path}: ${fault.path}`,
      })),
    )
    return []
  }
  const list = source.value
  if (!Array.isArray(list)) {
    faults.push({
      path,
      message: `must be a list, not ${nameType(list)}`,
      hint: 'begin each object with "- "',
    })
    return []
  }
  if (list.length === 0)
    faults.push({ path, message: 'is an empty list', hint: 'a volume needs at least one file' })
  if (list.length > MAX_OBJECTS) {
    const message = `has ${String(list.length)} objects, above the most: ${String(MAX_OBJECTS)}`
    faults.push({ path, message, hint: 'spread them over several classes' })
    return []
  }
  return readList(list, source, faults)
}

function readList(list: readonly unknown[], source: Source, faults: Fault[]): ClassObject[] {
  const objects = list.map((value, index) => {
    const own: Fault[] = []
    const object = readObject(index, value, own)
    const line = source.lineOf([index])
    faults.push(...own.map((fault) => ({ ...fault, line })))
    return object
  })
  const sound = objects.filter((object) => object !== undefined)
  for (const { index, message } of findPathClashes(sound)) {
    const [what = '', hint] = message.split('; ')
    const fault = {
      path: `objects[${String(index)}].path`,
      message: what,
      line: source.lineOf([index]),
    }
    faults.push(hint === undefined ? fault : { ...fault, hint })
  }
  return sound
}

/** All faults in one line, for an event of Kubernetes. */
function describeFaults(faults: readonly Fault[]): string {
  const shown = faults.slice(0, MAX_FAULTS_SHOWN).map(({ path, message, hint, line, column }) => {
    const place = column === undefined || line === undefined ? '' : ` (line ${String(line)})`
    const text = `${path}${place} ${message}${hint === undefined ? '' : `; ${hint}`}`
    return text.length > MAX_FAULT_LENGTH ? `${text.slice(0, MAX_FAULT_LENGTH)}…` : text
  })
  const rest = faults.length - shown.length
  const all = rest > 0 ? [...shown, `${String(rest)} more`] : shown
  return all.length === 1
    ? all.join('')
    : all.map((text, index) => `(${String(index + 1)}) ${text}`).join(' ')
}
