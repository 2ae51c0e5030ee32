import type { Fault, Path } from '../../yaml/fault.ts'
import { readAsGo } from '../../yaml/go/read.ts'
import type { Source } from '../../yaml/source.ts'

export const API_VERSION = 'secrets-store.csi.x-k8s.io/v1'
export const KIND = 'SecretProviderClass'
/** `List` is what kubectl writes for several objects (kubernetes.io/docs/reference/using-api/api-concepts). */
const LISTS: ReadonlySet<string> = new Set(['List', `${KIND}List`])

/** One Kubernetes object of a file. */
export interface ManifestSource {
  readonly source: Source
  /** Number of lines that precede its document in the file. */
  readonly offset: number
}

/** A document that is not YAML. Lines are counted in the whole file. */
export interface UnreadableDocument {
  readonly line: number
  readonly faults: readonly Fault[]
}

/** Reads the documents of a file and the items of its lists. */
export function readSources(text: string): readonly (ManifestSource | UnreadableDocument)[] {
  return splitDocuments(text).flatMap(readDocument)
}

function readDocument({ body, offset }: Part): readonly (ManifestSource | UnreadableDocument)[] {
  // As kubectl and the API server do: in YAML 1.1, `yes` is not a text, and they refuse it as a parameter.
  const source = readAsGo(body, { json: false, strict: true })
  if (!('value' in source)) {
    const faults = source.map((fault) => explainTemplate(moveFault(fault, offset), body))
    return [{ line: offset + 1, faults }]
  }
  if (source.ignoredLine !== undefined) {
    const message = 'is a second document that kubectl does not read'
    const fault = { path: '', message, hint: 'start it with ---', line: source.ignoredLine }
    return [{ line: offset + 1, faults: [moveFault(fault, offset)] }]
  }
  const isList = LISTS.has(textAt(source.value, ['kind']) ?? '')
  return (isList ? itemsOf(source) : [source]).map((each) => ({ source: each, offset }))
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

/** Returns the items of a list with their lines in the whole text. */
function itemsOf({ value, lineOf, lineInside }: Source): readonly Source[] {
  return listAt(value, ['items']).map((item, index) => ({
    value: item,
    lineOf: (path) => lineOf(['items', index, ...path]),
    lineInside: (path, line) => lineInside(['items', index, ...path], line),
  }))
}

/** A template of Helm is not YAML before Helm has rendered it. */
function explainTemplate(fault: Fault, body: string): Fault {
  if (!/\{\{-? *(?:\.|if |range |include |template |with |end|\/\*)/.test(body)) return fault
  return {
    ...fault,
    message: `${fault.message}; the text contains {{ }} of a Helm template`,
    hint: 'render it first, with helm template',
  }
}

function moveFault(fault: Fault, offset: number): Fault {
  return fault.line === undefined ? fault : { ...fault, line: fault.line + offset }
}

export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, part) => {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, part)) return undefined
    return (inner as Readonly<Record<string | number, unknown>>)[part]
  }, value)
}

export function textAt(value: unknown, path: Path): string | undefined {
  const found = valueAt(value, path)
  return typeof found === 'string' ? found : undefined
}

export function listAt(value: unknown, path: Path): readonly unknown[] {
  const found = valueAt(value, path)
  return Array.isArray(found) ? found : []
}
