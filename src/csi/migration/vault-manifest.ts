import { stringify } from 'yaml'
import type { Fault } from '../../yaml/fault.ts'
import { readYaml, type YamlSource } from '../../yaml/source.ts'
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
    text: documents.map((document) => stringify(document, { lineWidth: 0 })).join('---\n'),
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
  const objects = convertObjects(parameters['objects'], fieldOf('objects'), report)
  const secretObjects = valueAt(value, ['spec', 'secretObjects'])
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: valueAt(value, ['metadata']) ?? {},
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
  report: ConversionReport,
): readonly ConvertedObject[] {
  const source = typeof text === 'string' ? readYaml(text) : []
  if (!('value' in source) || !Array.isArray(source.value)) {
    const [syntax] = 'value' in source ? [] : source
    report.fault(field, syntax?.message ?? 'is not a list of objects', syntax?.hint)
    return []
  }
  const lines = String(text).split('\n')
  const list: readonly unknown[] = source.value
  return list.flatMap((item, index): ConvertedObject[] => {
    const fields = mappingAt(item, [])
    const mode = readPermission(source, index, fields)
    const fault: VaultObject['fault'] = (name, message, hint) => {
      const path = `objects[${String(index)}]${name === '' ? '' : `.${name}`}`
      // A text with several lines begins on the line after its key.
      const line = field.line + (lines.length > 1 ? source.lineOf([index, name]) : 0)
      report.fault({ path, line }, message, hint)
    }
    const converted = convertObject({ fields, mode, fault })
    return converted === undefined ? [] : [converted]
  })
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
