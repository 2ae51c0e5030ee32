import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { parse } from 'yaml'

import { BridgeError } from '../errors.ts'
import { formatResource, type Resource } from './resource.ts'

/** One rule of an EncryptionConfiguration, as far as it says what stored data looks like. */
export interface EncryptionRule {
  /** As written: `secrets`, `*.apps`, `*.`, `*.*`. */
  readonly resources: readonly string[]
  /** What writes, in the form of {@link labelProvider}; undefined for identity, which writes plain. */
  readonly writer: string | undefined
}

const Keys = v.object({ keys: v.array(v.object({ name: v.string() })) })
const Provider = v.object({
  identity: v.optional(v.unknown()),
  kms: v.optional(v.object({ apiVersion: v.optional(v.string(), 'v1'), name: v.string() })),
  aescbc: v.optional(Keys),
  aesgcm: v.optional(Keys),
  secretbox: v.optional(Keys),
})
const Rule = v.object({ resources: v.array(v.string()), providers: v.array(Provider) })
const EncryptionConfiguration = v.object({
  kind: v.literal('EncryptionConfiguration'),
  resources: v.array(Rule),
})

/**
 * The rules of the file that kube-apiserver's --encryption-provider-config names; keys in it are not looked at. Throws
 * CONFIG_INVALID if it is no such file.
 */
export async function readEncryptionConfig(file: string): Promise<readonly EncryptionRule[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw fault(file, `cannot be read: ${code === 'ENOENT' ? 'there is no such file' : code}`)
  }
  return parseEncryptionConfig(file, text)
}

/** As {@link readEncryptionConfig}, for a text; `file` is what messages call it. */
export function parseEncryptionConfig(file: string, text: string): readonly EncryptionRule[] {
  const parsed = v.safeParse(EncryptionConfiguration, parseYaml(file, text))
  if (!parsed.success) {
    const where = parsed.issues[0]?.path?.map(({ key }) => String(key)).join('.') ?? ''
    throw fault(
      file,
      `is not an EncryptionConfiguration${where === '' ? '' : ` (${where})`}; give the file that the API server's --encryption-provider-config names`,
    )
  }
  return parsed.output.resources.map(({ resources, providers }) => ({
    resources,
    writer: labelWriter(providers[0]),
  }))
}

/** The first rule that is for a resource, as kube-apiserver picks it. */
export function findRule(
  rules: readonly EncryptionRule[],
  resource: Resource,
): EncryptionRule | undefined {
  return rules.find(({ resources }) => resources.some((pattern) => matches(pattern, resource)))
}

function matches(pattern: string, resource: Resource): boolean {
  if (pattern === '*.*') return true
  if (pattern.startsWith('*.')) return pattern.slice(2) === resource.group
  return pattern === formatResource(resource)
}

/** How a provider is called in reports: its kind, and its name or that of its key. */
export function labelProvider(kind: string, name: string): string {
  return `${kind} ${name}`
}

function labelWriter(provider: v.InferOutput<typeof Provider> | undefined): string | undefined {
  if (provider?.kms !== undefined)
    return labelProvider(`kms ${provider.kms.apiVersion}`, provider.kms.name)
  for (const scheme of ['aescbc', 'aesgcm', 'secretbox'] as const) {
    const [key] = provider?.[scheme]?.keys ?? []
    if (key !== undefined) return labelProvider(scheme, key.name)
  }
  return undefined
}

function parseYaml(file: string, text: string): unknown {
  try {
    return parse(text)
  } catch {
    // The parser's own message quotes the text, which holds keys.
    throw fault(file, 'is not YAML')
  }
}

function fault(file: string, words: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', `--encryption-config ${file}: ${words}`)
}
