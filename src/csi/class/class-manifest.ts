import type { Fault, Path } from '../../yaml/fault.ts'
import { findNearest } from '../../text/nearest.ts'
import { readYaml, type Source } from '../../yaml/source.ts'
import { nameType, showValue } from '../../yaml/type-words.ts'
import { isFolder } from './object-types.ts'
import { isClass, readClass, type SecretProviderClass } from './secret-provider-class.ts'

export const PROVIDER_NAME = 'transit-bridge'
const API_VERSION = 'secrets-store.csi.x-k8s.io/v1'
const KIND = 'SecretProviderClass'
/** `List` is what kubectl writes for several objects (kubernetes.io/docs/reference/using-api/api-concepts). */
const LISTS: ReadonlySet<string> = new Set(['List', `${KIND}List`])

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
  return splitDocuments(text).flatMap(({ body, offset }) => readDocument(body, offset))
}

interface Part {
  readonly body: string
  /** Number of lines that precede it in the file. */
  readonly offset: number
}

/** Splits without parsing: no YAML value can contain a line that begins with three dashes (YAML 1.2.2, 9.1.2). */
function splitDocuments(text: string): Part[] {
  const lines = text.split('\n')
  const starts = [
    0,
    ...lines.flatMap((line, index) => (/^---(?:\s|$)/.test(line) ? index + 1 : [])),
  ]
  return starts.map((start, index) => {
    const next = starts[index + 1]
    return {
      body: lines.slice(start, next === undefined ? undefined : next - 1).join('\n'),
      offset: start,
    }
  })
}

function readDocument(body: string, offset: number): readonly ClassManifest[] {
  const source = readYaml(body)
  if (!('value' in source)) {
    const faults = source.map((fault) => moveFault(fault, offset))
    return [{ name: '', namespace: undefined, line: offset + 1, read: undefined, faults }]
  }
  const sources = LISTS.has(textAt(source.value, ['kind']) ?? '') ? itemsOf(source) : [source]
  return sources.flatMap((each) => readManifest(each, offset) ?? [])
}

/** Returns the items of a list with their lines in the whole text. */
function itemsOf({ value, lineOf }: Source): readonly Source[] {
  return listAt(value, ['items']).map((item, index) => ({
    value: item,
    lineOf: (path) => lineOf(['items', index, ...path]),
  }))
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
      `did you mean ${PROVIDER_NAME}`,
    )
  if (textAt(value, ['apiVersion']) !== API_VERSION)
    report(
      ['apiVersion'],
      'apiVersion',
      'is not the API version of the driver',
      `use ${API_VERSION}`,
    )
  const name = textAt(value, ['metadata', 'name'])
  if (name === undefined)
    report(['metadata'], 'metadata.name', 'is missing', 'pods refer to the class by it')
  const read = readParameters(source, offset, faults)
  if (read !== undefined) checkSecretObjects(source, read, report)
  return {
    name: name ?? '',
    namespace: textAt(value, ['metadata', 'namespace']),
    line: source.lineOf(['metadata', 'name']) + offset,
    read: faults.length === 0 ? read : undefined,
    faults,
  }
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
  const read = readClass(parameters as Readonly<Record<string, unknown>>)
  if (isClass(read)) return read
  for (const fault of read) faults.push(locate(fault, source, offset))
  return undefined
}

/** Converts a line in the text of `objects`. A text with several lines begins on the line after its key. */
function locate(fault: Fault, source: Source, offset: number): Fault {
  const [, parameter = ''] = /^([\w-]+)/.exec(fault.path) ?? []
  const place: Path = ['spec', 'parameters', parameter]
  const keyLine = source.lineOf(place) + offset
  const { column: _column, line, ...rest } = fault
  const hasLines = textAt(source.value, place)?.includes('\n') === true
  return { ...rest, line: line === undefined || !hasLines ? keyLine : keyLine + line }
}

/** The driver fills Secrets from files by path, and reports an unknown path only at run time. */
function checkSecretObjects(
  source: Source,
  { objects }: SecretProviderClass,
  report: (path: Path, label: string, message: string, hint: string) => void,
): void {
  const paths = new Set(objects.filter((object) => !isFolder(object)).map(({ path }) => path))
  const folders = objects.filter(isFolder).map(({ path }) => `${path}/`)
  for (const [index, secret] of listAt(source.value, ['spec', 'secretObjects']).entries()) {
    for (const [position, item] of listAt(secret, ['data']).entries()) {
      const name = textAt(item, ['objectName'])
      if (
        name === undefined ||
        paths.has(name) ||
        folders.some((folder) => name.startsWith(folder))
      )
        continue
      const place = ['spec', 'secretObjects', index, 'data', position, 'objectName']
      const nearest = findNearest(name, paths)
      const hint = nearest === undefined ? 'use the path of an object' : `did you mean ${nearest}`
      report(
        place,
        `secretObjects[${String(index)}].data[${String(position)}].objectName`,
        'is not the path of an object',
        hint,
      )
    }
  }
}

function moveFault(fault: Fault, offset: number): Fault {
  return fault.line === undefined ? fault : { ...fault, line: fault.line + offset }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, part) => {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, part)) return undefined
    return (inner as Readonly<Record<string | number, unknown>>)[part]
  }, value)
}

function textAt(value: unknown, path: Path): string | undefined {
  const found = valueAt(value, path)
  return typeof found === 'string' ? found : undefined
}

function listAt(value: unknown, path: Path): readonly unknown[] {
  const found = valueAt(value, path)
  return Array.isArray(found) ? found : []
}
