import { stringify } from 'yaml'
import type { Fault } from '../../yaml/fault.ts'
import { readYaml, type YamlSource } from '../../yaml/source.ts'
import { nameType } from '../../yaml/type-words.ts'
import { PROVIDER_NAME } from '../class/class-manifest.ts'
import {
  API_VERSION,
  KIND,
  readSources,
  textAt,
  valueAt,
  type ManifestSource,
} from '../class/manifest-source.ts'
import { ConversionReport, type Field } from './conversion-report.ts'
import { convertObject, type ConvertedObject, type VaultObject } from './vault-object.ts'
import { convertParameters } from './vault-parameters.ts'

/** Names under which HashiCorp's provider and its fork for OpenBao are installed. */
const PROVIDERS: ReadonlySet<string> = new Set(['vault', 'openbao'])
const PARAMETERS = ['spec', 'parameters']
/** kubectl writes the whole old object here. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** kubectl reads YAML 1.1, so `yes` and `1_000` need quotes. */
const WRITTEN = { lineWidth: 0, compat: 'yaml-1.1' } as const

/** Classes of the Vault provider as classes of this one. */
export interface Conversion {
  /** YAML documents. */
  readonly text: string
  readonly classes: number
  /** What has no counterpart. */
  readonly faults: readonly Fault[]
  /** What belongs in the configuration of the administrator. */
  readonly notes: readonly Fault[]
}

/** Converts every SecretProviderClass of the Vault provider in a file. Skips everything else. */
export function convertVaultManifests(text: string): Conversion {
  const reports: Pick<ConversionReport, 'faults' | 'notes'>[] = []
  const documents = readSources(text).flatMap((part) => {
    if ('faults' in part) {
      reports.push({ faults: [...part.faults], notes: [] })
      return []
    }
    const { value } = part.source
    const provider = textAt(value, ['spec', 'provider'])
    if (textAt(value, ['kind']) !== KIND || !PROVIDERS.has(provider ?? '')) return []
    const report = new ConversionReport()
    reports.push(report)
    return [convertManifest(part, report)]
  })
  return {
    text: documents.map((document) => stringify(document, WRITTEN)).join('---\n'),
    classes: documents.length,
    faults: reports.flatMap(({ faults }) => faults),
    notes: reports.flatMap(({ notes }) => notes),
  }
}

function convertManifest({ source, offset }: ManifestSource, report: ConversionReport): object {
  const { value } = source
  const parameters = mappingAt(value, PARAMETERS)
  const fieldOf = (name: string): Field => ({
    path: name,
    line: source.lineOf([...PARAMETERS, name]) + offset,
  })
  const lineInside = (line: number) => source.lineInside([...PARAMETERS, 'objects'], line) + offset
  const objects = convertObjects(parameters['objects'], fieldOf('objects'), lineInside, report)
  const secretObjects = valueAt(value, ['spec', 'secretObjects'])
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: convertMetadata(mappingAt(value, ['metadata'])),
    spec: {
      provider: PROVIDER_NAME,
      parameters: {
        ...convertParameters(parameters, fieldOf, report),
        objects: objects.map((object) => `- ${JSON.stringify(object)}\n`).join(''),
      },
      ...(secretObjects === undefined ? {} : { secretObjects }),
    },
  }
}

function convertObjects(
  text: unknown,
  field: Field,
  lineInside: (line: number) => number,
  report: ConversionReport,
): readonly ConvertedObject[] {
  const source = typeof text === 'string' ? readYaml(text) : []
  if (!('value' in source) || !Array.isArray(source.value)) {
    const [syntax] = 'value' in source ? [] : source
    if (syntax === undefined) report.fault(field, ...explainObjects(text, source))
    else report.fault(field, syntax.message, syntax.hint)
    return []
  }
  const list: readonly unknown[] = source.value
  return list.flatMap((item, index): ConvertedObject[] => {
    const fields = mappingAt(item, [])
    const mode = readPermission(source, index, fields)
    const fault: VaultObject['fault'] = (name, message, hint) => {
      const path = `objects[${String(index)}]${name === '' ? '' : `.${name}`}`
      report.fault({ path, line: lineInside(source.lineOf([index, name])) }, message, hint)
    }
    const converted = convertObject({ fields, mode, fault })
    return converted === undefined ? [] : [converted]
  })
}

/** Why `objects` is not a list as text, and what to write. */
function explainObjects(text: unknown, source: YamlSource | readonly Fault[]): [string, string] {
  if (text === undefined || text === null)
    return ['is missing', 'a class needs at least one object']
  if (typeof text !== 'string')
    return [`must be text, not ${nameType(text)}`, 'write "objects: |" and indent the list']
  const value = 'value' in source ? source.value : undefined
  return [`must be a list, not ${nameType(value)}`, 'start each object with "- "']
}

/** What a person writes. The rest belongs to the API server, which refuses it in a new object. */
function convertMetadata(metadata: Readonly<Record<string, unknown>>): object {
  const { name, generateName, namespace, labels } = metadata
  const own = Object.entries(mappingAt(metadata, ['annotations']))
  const annotations = own.filter(([key]) => key !== LAST_APPLIED)
  return {
    name,
    generateName,
    namespace,
    labels,
    annotations: annotations.length === 0 ? undefined : Object.fromEntries(annotations),
  }
}

/**
 * Returns permission bits as octal digits. The Vault provider reads 0600 as an octal number and 384 as a decimal one
 * (YAML 1.1), so the digits are taken from the text. Its default is 0644.
 */
function readPermission(
  source: YamlSource,
  index: number,
  { filePermission }: Readonly<Record<string, unknown>>,
): string | undefined {
  if (filePermission === undefined) return '0644'
  const digits = source.textOf([index, 'filePermission']) ?? ''
  if (!/^(?:0o?[0-7]+|[1-9][0-9]*)$/.test(digits)) return undefined
  const bits = digits.startsWith('0')
    ? Number.parseInt(digits.replace(/^0o?/, ''), 8)
    : Number(digits)
  return `0${bits.toString(8).padStart(3, '0')}`
}

function mappingAt(value: unknown, path: readonly string[]): Readonly<Record<string, unknown>> {
  const found = valueAt(value, path)
  const isMapping = typeof found === 'object' && found !== null && !Array.isArray(found)
  return isMapping ? (found as Readonly<Record<string, unknown>>) : {}
}
