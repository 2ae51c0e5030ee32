import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { decodeDocument, type EncryptionRule, type Provider } from './document.ts'
import { isCovered } from './resource-rules.ts'
import { readEncryptionText } from './text.ts'
import { BridgeError } from '../errors.ts'
import { codeOfFileError, explainFileError } from '../files/system-error.ts'
import { formatResource, type Resource } from '../kube/resource.ts'

/**
 * An EncryptionConfiguration. A command reads it once: the file may change while the command runs, and a pipe, such as
 * `<(ssh node cat …)`, can be read only once.
 */
export interface EncryptionFile {
  readonly path: string
  readonly rules: readonly EncryptionRule[]
  /** As kube-apiserver's metrics report it (apiserver: encryptionconfig/config.go, computeEncryptionConfigHash). */
  readonly hash: string
}

/**
 * Reads an EncryptionConfiguration. Throws CONFIG_INVALID if the file is not one. Whether kube-apiserver accepts it is for
 * `config encryption --check`.
 */
export async function readEncryptionFile(path: string): Promise<EncryptionFile> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    const message = nameFile(path, `cannot be read: ${explainFileError(cause)}`)
    throw new BridgeError(codeOfFileError(cause, 'CONFIG_INVALID'), message, { cause })
  })
  const hash = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  return { path, rules: parseEncryptionRules(path, bytes.toString('utf8')), hash }
}

/** The same for an option that may be absent. */
export async function readGivenFile(path: string | undefined): Promise<EncryptionFile | undefined> {
  return path === undefined ? undefined : readEncryptionFile(path)
}

/** The rules in a text; messages call it `file`. */
export function parseEncryptionRules(file: string, text: string): readonly EncryptionRule[] {
  const source = readEncryptionText(text)
  const decoded = 'value' in source ? decodeDocument(source.value) : undefined
  if (decoded === undefined || decoded.problems.length > 0 || decoded.document.rules.length === 0) {
    const words = `is not a valid EncryptionConfiguration; run transit-bridge config encryption --check ${file}`
    throw new BridgeError('CONFIG_INVALID', nameFile(file, words))
  }
  return decoded.document.rules
}

/** The rule that kube-apiserver applies to a resource: the first that covers it. */
export function findRule(
  rules: readonly EncryptionRule[],
  resource: Resource,
): EncryptionRule | undefined {
  return rules.find((rule) => isCovered(rule, formatResource(resource)))
}

/** The provider that writes, in the form of {@link labelProvider}; undefined for identity, which writes plaintext. */
export function findWriter({ providers }: EncryptionRule): string | undefined {
  const [first] = providers
  const [kind] = first?.kinds ?? []
  if (first === undefined || kind === undefined || kind === 'identity') return undefined
  return kind === 'kms' ? labelKms(first) : labelProvider(kind, first.keys[0]?.name ?? '')
}

/** The KMS v2 providers that write: each the first of a rule. */
export function listKmsWriters(rules: readonly EncryptionRule[]): readonly string[] {
  const names = rules.flatMap(({ providers: [first] }) =>
    first?.kms?.apiVersion === 'v2' ? (first.kms.name ?? []) : [],
  )
  return [...new Set(names)]
}

/** Stands for plaintext, which the provider identity reads. */
export const PLAINTEXT = 'plaintext'

/** What an API server can read under a rule: labels of providers, and {@link PLAINTEXT}. */
export function findReaders({ providers }: EncryptionRule): ReadonlySet<string> {
  return new Set(
    providers.flatMap((provider) => {
      const [kind] = provider.kinds
      if (kind === undefined) return []
      if (kind === 'identity') return [PLAINTEXT]
      return kind === 'kms'
        ? [labelKms(provider)]
        : provider.keys.map(({ name }) => labelProvider(kind, name ?? ''))
    }),
  )
}

/** The label of a provider in reports: its kind, and its name or that of its key. */
export function labelProvider(kind: string, name: string): string {
  return `${kind} ${name}`
}

/** The default apiVersion is v1 (apiserver: pkg/apis/apiserver/v1/defaults.go). */
function labelKms({ kms }: Provider): string {
  const version = kms?.apiVersion === undefined || kms.apiVersion === '' ? 'v1' : kms.apiVersion
  return labelProvider(`kms ${version}`, kms?.name ?? '')
}

function nameFile(file: string, words: string): string {
  return `--encryption-config ${file}: ${words}`
}
