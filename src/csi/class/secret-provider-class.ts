import { createHash } from 'node:crypto'
import { splitMessage, type Fault } from '../../yaml/fault.ts'
import { nameType } from '../../yaml/type-words.ts'
import { readYamlInParts, type Source } from '../../yaml/source.ts'
import { doAtOnce, doInTurns, type Parts } from '../../time/parts.ts'
import { BridgeError } from '../../errors.ts'
import { FieldReader } from './object-fields.ts'
import { findPathClashes } from './object-path.ts'
import { joinNumbered } from '../../text/numbered.ts'
import type { WantedPlace } from '../engine-place.ts'
import { VAULT_NAME } from './key-fields.ts'
import { readPlace } from './place-fields.ts'
import { readObject } from './object-reader.ts'
import { findReferenceFaults, findUnused } from './references.ts'
import { findShapeFault } from './text-shape.ts'
import { keysOf, type ClassObject } from './object-types.ts'

/**
 * The parameters that a pod author can set. The administrator controls everything else, and by rules which mounts and
 * Vault namespaces a class may name.
 */
export const CLASS_PARAMETERS: readonly string[] = ['role', 'objects', 'mount', 'vaultNamespace']
const MAX_OBJECTS = 100
/** Each key is a request to Vault, and an entry of the key cache, which all pods share. */
const MAX_KEYS = 200
/** A hundred objects of six fields each have 1,700 structural characters as block YAML, and 3,800 as JSON. */
export const MAX_STRUCTURE = 4_000
/** A YAML fault contains the path of a key, which can be as long as the class. */
const MAX_FAULT_LENGTH = 400

/** A parsed SecretProviderClass. */
export interface SecretProviderClass {
  /** The Vault role with which the pods of this class log in. */
  readonly role: string
  readonly objects: readonly ClassObject[]
  /** Hash of the text of all parameters. */
  readonly digest: string
}

/** Returns the role if it is valid: enough to apply the rules before the objects are parsed. */
export function readRole(parameters: Readonly<Record<string, unknown>>): string | undefined {
  const { role } = parameters
  return typeof role === 'string' && VAULT_NAME.pattern.test(role) ? role : undefined
}

/** A class, or all its faults. */
export type ReadClass = SecretProviderClass | readonly Fault[]

export function isClass(read: ReadClass): read is SecretProviderClass {
  return 'digest' in read
}

/** Reads the parameters of a class. Lines of faults in `objects` are counted in that text. */
export function readClass(parameters: Readonly<Record<string, unknown>>): ReadClass {
  return doAtOnce(readClassInParts(parameters))
}

function* readClassInParts(parameters: Readonly<Record<string, unknown>>): Parts<ReadClass> {
  const faults: Fault[] = []
  const reader = new FieldReader('', parameters, faults)
  reader.refuseOthers(CLASS_PARAMETERS, explainParameter)
  const role = reader.text(
    'role',
    'the Vault role with which pods of this class log in',
    VAULT_NAME,
  )
  const ofClass = readPlace(reader)
  const text = reader.text('objects', 'a list of the files in the volume, as YAML text')
  const objects = text === undefined ? [] : yield* readObjects(text, ofClass, faults)
  if (faults.length > 0 || role === undefined) return faults
  const { mount = '', vaultNamespace = '' } = ofClass
  const digest = createHash('sha256')
    .update(JSON.stringify([role, mount, vaultNamespace, text]))
    .digest('base64url')
  return { role, objects, digest }
}

/**
 * Like {@link readClass}, but throws CLASS_INVALID with every fault, and lets other work run between its parts: the
 * costliest class would hold the event loop for 30 to 60 ms.
 */
export async function parseClass(
  parameters: Readonly<Record<string, unknown>>,
): Promise<SecretProviderClass> {
  const read = await doInTurns(readClassInParts(parameters))
  if (isClass(read)) return read
  throw new BridgeError(
    'CLASS_INVALID',
    `the SecretProviderClass is invalid: ${describeFaults(read)}`,
  )
}

/** Other providers have such parameters, which would give a pod author control of the connection to Vault. */
function explainParameter(name: string): string | undefined {
  if (name === 'namespace') return 'is not a known field; did you mean vaultNamespace?'
  if (!/addr|url|skip|tls|cert|audience|mount|namespace|token/i.test(name)) return undefined
  return 'is not a known field; addresses, TLS, logins and audiences are set only in the configuration of transit-bridge'
}

function* readObjects(text: string, ofClass: WantedPlace, faults: Fault[]): Parts<ClassObject[]> {
  const path = 'objects'
  const shape = findShapeFault(text, MAX_STRUCTURE)
  if (shape !== undefined) {
    faults.push({ path, message: shape, hint: 'split it into several classes' })
    return []
  }
  // Aliases are refused: no class needs them, and they let a small text expand to a large value.
  const source = yield* readYamlInParts(text, { maxAliases: 0 })
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
      hint: 'start each object with "- "',
    })
    return []
  }
  if (list.length === 0)
    faults.push({ path, message: 'is an empty list', hint: 'a volume needs at least one file' })
  if (list.length > MAX_OBJECTS) {
    const message = `has ${String(list.length)} objects, more than ${String(MAX_OBJECTS)}`
    faults.push({ path, message, hint: 'split them into several classes' })
    return []
  }
  const objects = readList(list, source, ofClass, faults)
  const keys = countKeys(objects)
  if (keys > MAX_KEYS) {
    const message = `use ${String(keys)} Transit keys, more than ${String(MAX_KEYS)}`
    faults.push({ path, message, hint: 'split them into several classes' })
  }
  return objects
}

function countKeys(objects: readonly ClassObject[]): number {
  const keys = objects.flatMap((object) => {
    const { mount = '', vaultNamespace = '' } = object
    return keysOf(object).map((key) => `${vaultNamespace} ${mount} ${key}`)
  })
  return new Set(keys).size
}

function readList(
  list: readonly unknown[],
  source: Source,
  ofClass: WantedPlace,
  faults: Fault[],
): ClassObject[] {
  const objects = list.map((value, index) => {
    const own: Fault[] = []
    const object = readObject(index, value, ofClass, own)
    const line = source.lineOf([index])
    faults.push(...own.map((fault) => ({ ...fault, line })))
    return object
  })
  const valid = objects.filter((object) => object !== undefined)
  const addFault = (index: number, field: string, message: string) =>
    faults.push({
      path: `objects[${String(index)}].${field}`,
      ...splitMessage(message),
      line: source.lineOf([index]),
    })
  for (const { index, message } of findPathClashes(valid.filter(({ isMounted }) => isMounted)))
    addFault(index, 'path', message)
  for (const { index, field, message } of findReferenceFaults(valid, namesIn(list)))
    addFault(index, field, message)
  const unused = faults.length === 0 ? findUnused(valid) : []
  for (const { index, field, message } of unused) addFault(index, field, message)
  return valid
}

/** Also of objects with faults, so that a reference to one is not another fault. */
function namesIn(list: readonly unknown[]): ReadonlyMap<number, string> {
  const names = list.map((value) => (value as { readonly name?: unknown } | null)?.name)
  return new Map(
    names.flatMap((name, index) => (typeof name === 'string' ? [[index, name] as const] : [])),
  )
}

/** The faults in one line, for an Event, whose note has at most 1 kB (Kubernetes API reference, Event v1). */
function describeFaults(faults: readonly Fault[]): string {
  const texts = faults.map(({ path, message, hint, line, column }) => {
    const place = column === undefined || line === undefined ? '' : ` (line ${String(line)})`
    const text = `${path}${place}: ${message}${hint === undefined ? '' : `; ${hint}`}`
    return text.length > MAX_FAULT_LENGTH ? `${text.slice(0, MAX_FAULT_LENGTH)}…` : text
  })
  return joinNumbered(texts)
}
