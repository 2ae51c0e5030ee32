import type { Path } from '../yaml/fault.ts'
import { namePlace, type Problem } from './decoder.ts'
import type { EncryptionRule, KmsProvider, Provider, StaticKey } from './document.ts'
import { readSocketPath } from './endpoint.ts'
import { parseGoDuration } from './go-duration.ts'

const AES_SIZES = [16, 24, 32]
const SECRETBOX_SIZES = [32]

/** What kube-apiserver rejects in providers (apiserver: pkg/apis/apiserver/validation/validation_encryption.go). */
export function checkProviders(rules: readonly EncryptionRule[]): readonly Problem[] {
  return [...rules.flatMap(checkRule), ...findRepeatedNames(rules)]
}

function checkRule({ at, providers }: EncryptionRule): readonly Problem[] {
  if (providers.length > 0) return providers.flatMap(checkProvider)
  return [{ at: [...at, 'providers'], message: 'has no provider', hint: 'add at least one' }]
}

function checkProvider({ at, kinds, kms, keys }: Provider): readonly Problem[] {
  const [kind] = kinds
  if (kind === undefined) {
    const hint =
      'write identity: {} with its braces, or kms, aesgcm, aescbc or secretbox with settings'
    return [{ at, message: 'has no provider', hint }]
  }
  const several: readonly Problem[] =
    kinds.length === 1
      ? []
      : [
          {
            at,
            message: `has ${kinds.join(' and ')}`,
            hint: 'write a list element for each',
          },
        ]
  if (kms !== undefined) return [...several, ...checkKms(kms)]
  if (kind === 'identity' || kind === 'kms') return several
  return [
    ...several,
    ...checkKeys(keys, [...at, kind, 'keys'], kind === 'secretbox' ? SECRETBOX_SIZES : AES_SIZES),
  ]
}

function checkKms(kms: KmsProvider): readonly Problem[] {
  const at = (name: string): Path => [...kms.at, name]
  return [
    ...checkVersion(kms, at('apiVersion')),
    ...checkName(kms, at('name')),
    ...checkTimeout(kms.timeout, at('timeout')),
    ...checkEndpoint(kms.endpoint, at('endpoint')),
    ...checkCacheSize(kms, at('cachesize')),
  ]
}

function isVersion1({ apiVersion }: KmsProvider): boolean {
  return apiVersion === '' || apiVersion === 'v1'
}

function checkVersion({ apiVersion }: KmsProvider, at: Path): readonly Problem[] {
  if (apiVersion === undefined || apiVersion === 'v2') return []
  if (apiVersion === '')
    return [{ at, message: 'is missing, which means v1', hint: 'write apiVersion: v2' }]
  const hint = 'write apiVersion: v2'
  if (apiVersion === 'v1')
    return [{ at, message: 'is rejected without --feature-gates=KMSv1=true', hint }]
  return [{ at, message: 'is neither v1 nor v2', hint: 'write apiVersion: v2' }]
}

function checkName(kms: KmsProvider, at: Path): readonly Problem[] {
  if (kms.name === undefined) return []
  if (kms.name === '') return [{ at, message: 'is missing', hint: 'name: transit-bridge' }]
  if (isVersion1(kms) || !kms.name.includes(':')) return []
  return [
    {
      at,
      message: 'contains a colon, which v2 does not allow',
      hint: 'choose a name without colons',
    },
  ]
}

function checkTimeout(timeout: string | undefined, at: Path): readonly Problem[] {
  if (timeout === undefined || timeout === '') return []
  const milliseconds = parseGoDuration(timeout)
  if (milliseconds === undefined)
    return [{ at, message: 'is not a duration', hint: 'for example 3s' }]
  return milliseconds > 0 ? [] : [{ at, message: 'must be more than 0', hint: 'for example 3s' }]
}

function checkEndpoint(endpoint: string | undefined, at: Path): readonly Problem[] {
  if (endpoint === undefined) return []
  if (endpoint === '')
    return [{ at, message: 'is missing', hint: 'write unix:// and the path in kms.socket' }]
  if (readSocketPath(endpoint) !== undefined) return []
  return [
    {
      at,
      message: 'is not the URL of a Unix socket',
      hint: 'write unix:// and the path in kms.socket',
    },
  ]
}

function checkCacheSize(kms: KmsProvider, at: Path): readonly Problem[] {
  if (kms.cacheSize === undefined) return []
  if (!isVersion1(kms)) return [{ at, message: 'is not supported in v2', hint: 'remove it' }]
  return kms.cacheSize === 0 ? [{ at, message: 'must not be 0', hint: 'remove it' }] : []
}

function checkKeys(
  keys: readonly StaticKey[],
  at: Path,
  sizes: readonly number[],
): readonly Problem[] {
  if (keys.length === 0) return [{ at, message: 'has no key', hint: 'add at least one' }]
  return keys.flatMap((key) => checkKey(key, sizes))
}

/** Messages never contain the secret, only its length in bytes. */
function checkKey({ at, name, secret }: StaticKey, sizes: readonly number[]): readonly Problem[] {
  const unnamed = name === '' ? [{ at: [...at, 'name'], message: 'is missing' }] : []
  return [...unnamed, ...checkSecret(secret, [...at, 'secret'], sizes)]
}

function checkSecret(
  secret: string | undefined,
  at: Path,
  sizes: readonly number[],
): readonly Problem[] {
  if (secret === undefined) return []
  if (secret === '') return [{ at, message: 'is missing' }]
  const text = secret.replaceAll(/[\r\n]/g, '')
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text))
    return [{ at, message: 'is not base64', hint: 'head -c 32 /dev/urandom | base64' }]
  const bytes = Buffer.from(text, 'base64').length
  if (sizes.includes(bytes)) return []
  return [{ at, message: `has ${bytes} bytes`, hint: `use ${sizes.join(', ')} bytes in base64` }]
}

/** The name is part of the stored prefix, so two providers with one name are indistinguishable. */
function findRepeatedNames(rules: readonly EncryptionRule[]): readonly Problem[] {
  const seen = new Map<string, Path>()
  const problems: Problem[] = []
  for (const kms of rules.flatMap(({ providers }) => providers.flatMap((one) => one.kms ?? []))) {
    const { name } = kms
    if (name === undefined || name === '') continue
    const first = seen.get(name)
    // Names of v1 providers must be unique only with automatic reload, which is recommended.
    if (first === undefined) seen.set(name, kms.at)
    else {
      const hint = `${namePlace(first)} has the same name; give each provider its own, even if two rules use the same plugin`
      problems.push({
        at: [...kms.at, 'name'],
        message: 'is already the name of another provider',
        hint,
      })
    }
  }
  return problems
}
