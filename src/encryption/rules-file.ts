import { readFile } from 'node:fs/promises'

import { readYaml } from '../yaml/source.ts'
import { decodeDocument, type EncryptionRule, type Provider } from './document.ts'
import { isCovered } from './resource-rules.ts'
import { BridgeError } from '../errors.ts'
import { explainFileError } from '../files/system-error.ts'
import { formatResource, type Resource } from '../kube/resource.ts'

/**
 * The rules of the file that kube-apiserver's --encryption-provider-config names. Whether kube-apiserver takes it is
 * for `config encryption --check`; here it must only be one. Throws CONFIG_INVALID if it is not.
 */
export async function readEncryptionRules(file: string): Promise<readonly EncryptionRule[]> {
  try {
    return parseEncryptionRules(file, await readFile(file, 'utf8'))
  } catch (error) {
    if (error instanceof BridgeError) throw error
    throw fault(file, `cannot be read: ${explainFileError(error)}`)
  }
}

/** As {@link readEncryptionRules}, for a text; `file` is what messages call it. */
export function parseEncryptionRules(file: string, text: string): readonly EncryptionRule[] {
  const source = readYaml(text)
  const decoded = 'value' in source ? decodeDocument(source.value) : undefined
  if (decoded === undefined || decoded.problems.length > 0 || decoded.document.rules.length === 0) {
    throw fault(
      file,
      `is not a right EncryptionConfiguration; see transit-bridge config encryption --check ${file}`,
    )
  }
  return decoded.document.rules
}

/** The first rule that is for a resource, as kube-apiserver picks it. */
export function findRule(
  rules: readonly EncryptionRule[],
  resource: Resource,
): EncryptionRule | undefined {
  return rules.find((rule) => isCovered(rule, formatResource(resource)))
}

/** What writes under a rule, in the form of {@link labelProvider}; undefined for identity, which writes plain. */
export function findWriter({ providers }: EncryptionRule): string | undefined {
  const [first] = providers
  const [kind] = first?.kinds ?? []
  if (first === undefined || kind === undefined || kind === 'identity') return undefined
  return kind === 'kms' ? labelKms(first) : labelProvider(kind, first.keys[0]?.name ?? '')
}

/** How a provider is called in reports: its kind, and its name or that of its key. */
export function labelProvider(kind: string, name: string): string {
  return `${kind} ${name}`
}

/** Without an apiVersion it is v1 (apis/apiserver/v1/defaults.go). */
function labelKms({ kms }: Provider): string {
  const version = kms?.apiVersion === undefined || kms.apiVersion === '' ? 'v1' : kms.apiVersion
  return labelProvider(`kms ${version}`, kms?.name ?? '')
}

function fault(file: string, words: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', `--encryption-config ${file}: ${words}`)
}
