import { checkEncryptionConfig } from '../../../src/encryption/check.ts'
import type { Provider } from '../../../src/encryption/document.ts'
import { parseGoDuration } from '../../../src/encryption/go-duration.ts'
import { parseEncryptionRules } from '../../../src/encryption/rules-file.ts'

/** What this program reads in an EncryptionConfiguration, in the form of tools/kubernetes/loaders; undefined if refused. */
export function viewEncryption(text: string): unknown {
  if (checkEncryptionConfig(text).some(({ severity }) => severity === 'refused')) return undefined
  return parseEncryptionRules('file', text).map(({ resources, providers }) => ({
    resources,
    providers: providers.map(viewProvider),
  }))
}

function viewProvider({ kinds: [kind], keys, kms }: Provider): unknown {
  if (kms === undefined)
    return keys.length === 0 ? { kind } : { kind, keys: keys.map(({ name }) => name) }
  const { apiVersion, name, endpoint, timeout, cacheSize = null } = kms
  const timeoutMs = timeout === '' || timeout === undefined ? 3000 : parseGoDuration(timeout)
  return { kind, kms: { apiVersion, name, endpoint, timeoutMs, cacheSize } }
}
