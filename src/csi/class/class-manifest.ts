import { splitMessage, type Fault, type Path } from '../../yaml/fault.ts'
import { findNearest } from '../../text/nearest.ts'
import type { Source } from '../../yaml/source.ts'
import { explainWrongType, nameType, showValue } from '../../yaml/type-words.ts'
import { API_VERSION, KIND, readSources, textAt, valueAt } from './manifest-source.ts'
import { findSecretFaults } from './secret-objects.ts'
import { findSizeFault } from './sent-size.ts'
import { isClass, readClass, type SecretProviderClass } from './secret-provider-class.ts'

export const PROVIDER_NAME = 'transit-bridge'
const METADATA: readonly Path[] = [
  ['metadata', 'name'],
  ['metadata', 'namespace'],
]

/** A SecretProviderClass of this provider and its faults. Lines are counted in the whole file. */
export interface ClassManifest {
  readonly name: string
  readonly namespace: string | undefined
  readonly line: number
  /** Undefined if there are faults. */
  readonly read: SecretProviderClass | undefined
  readonly faults: readonly Fault[]
}

/** Reads the documents of a file and the items of its lists. Skips other kinds and other providers. */
export function readManifests(text: string): readonly ClassManifest[] {
  return readSources(text).flatMap((part) => {
    if ('faults' in part) {
      const { faults, line } = part
      return [{ name: '', namespace: undefined, line, read: undefined, faults }]
    }
    return readManifest(part.source, part.offset) ?? []
  })
}

function readManifest(source: Source, offset: number): ClassManifest | undefined {
  const { value } = source
  if (textAt(value, ['kind']) !== KIND) return undefined
  const faults: Fault[] = []
  const provider = textAt(value, ['spec', 'provider'])
  if (provider !== undefined && provider !== PROVIDER_NAME && !isMisspelt(provider))
    return undefined
  const report = (path: Path, label: string, message: string, hint: string) =>
    faults.push({ path: label, message, hint, line: source.lineOf(path) + offset })
  if (provider === undefined)
    report(['spec'], 'spec.provider', 'is missing', `set it to ${PROVIDER_NAME}`)
  else if (provider !== PROVIDER_NAME)
    report(
      ['spec', 'provider'],
      'spec.provider',
      `${showValue(provider)} is not supported`,
      `did you mean ${PROVIDER_NAME}?`,
    )
  if (textAt(value, ['apiVersion']) !== API_VERSION)
    report(
      ['apiVersion'],
      'apiVersion',
      'is not the API version of the driver',
      `use ${API_VERSION}`,
    )
  const name = textAt(value, ['metadata', 'name'])
  for (const place of METADATA) {
    const found = valueAt(value, place) ?? undefined
    if (found === undefined || typeof found === 'string') continue
    const { message, hint = '' } = splitMessage(explainWrongType(found, 'text'))
    report(place, place.join('.'), message, hint)
  }
  if ((valueAt(value, ['metadata', 'name']) ?? undefined) === undefined)
    report(['metadata'], 'metadata.name', 'is missing', 'pods refer to the class by it')
  else if (name !== undefined && !isObjectName(name))
    report(
      ['metadata', 'name'],
      'metadata.name',
      'is not a valid name of a Kubernetes object',
      'use lowercase letters, digits, - and .',
    )
  const read = readParameters(source, offset, faults)
  if (read !== undefined)
    for (const { path, label, message, hint } of findSecretFaults(value, read))
      report(path, label, message, hint)
  return {
    name: name ?? '',
    namespace: textAt(value, ['metadata', 'namespace']),
    line: source.lineOf(['metadata', 'name']) + offset,
    read: faults.length === 0 ? read : undefined,
    faults,
  }
}

/** A DNS subdomain (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names). */
function isObjectName(name: string): boolean {
  const label = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/
  return name.length <= 253 && name.split('.').every((part) => label.test(part))
}

/** A provider name that is similar to ours is probably a typo. */
function isMisspelt(provider: string): boolean {
  return findNearest(provider, [PROVIDER_NAME]) !== undefined
}

function readParameters(
  source: Source,
  offset: number,
  faults: Fault[],
): SecretProviderClass | undefined {
  const place: Path = ['spec', 'parameters']
  const parameters = valueAt(source.value, place)
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
    const message =
      parameters === undefined ? 'is missing' : `must be a mapping, not ${nameType(parameters)}`
    faults.push({
      path: 'spec.parameters',
      message,
      hint: 'it contains role and objects',
      line: source.lineOf(['spec']) + offset,
    })
    return undefined
  }
  const fields = parameters as Readonly<Record<string, unknown>>
  const read = readClass(fields)
  const tooLarge = findSizeFault(fields)
  if (tooLarge !== undefined) {
    const line = source.lineOf(place) + offset
    faults.push({ path: 'spec.parameters', message: tooLarge, hint: 'split the class', line })
  }
  if (isClass(read)) return read
  for (const fault of read) faults.push(locate(fault, source, offset))
  return undefined
}

/** Converts a line in the text of `objects`. */
function locate(fault: Fault, source: Source, offset: number): Fault {
  const [, parameter = ''] = /^([\w-]+)/.exec(fault.path) ?? []
  const place: Path = ['spec', 'parameters', parameter]
  const { column: _column, line, ...rest } = fault
  const found = line === undefined ? source.lineOf(place) : source.lineInside(place, line)
  return { ...rest, line: found + offset }
}
