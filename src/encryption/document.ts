import type { Path } from '../yaml/fault.ts'
import { Decoder, type Problem } from './decoder.ts'

/** An EncryptionConfiguration (apiserver: pkg/apis/apiserver/v1/types_encryption.go). */
export interface EncryptionDocument {
  /** Whether it has the kind and apiVersion of Kubernetes before 1.13, which still work. */
  readonly isLegacy: boolean
  readonly rules: readonly EncryptionRule[]
}

/** An element of `resources`: resource names and the providers for them. */
export interface EncryptionRule {
  readonly at: Path
  readonly resources: readonly string[]
  readonly providers: readonly Provider[]
}

export const PROVIDER_KINDS = ['kms', 'aesgcm', 'aescbc', 'secretbox', 'identity'] as const
export type ProviderKind = (typeof PROVIDER_KINDS)[number]

/** An element of `providers`. provider-rules.ts checks that it has exactly one kind. */
export interface Provider {
  readonly at: Path
  readonly kinds: readonly ProviderKind[]
  readonly kms?: KmsProvider | undefined
  readonly keys: readonly StaticKey[]
}

/** Undefined means a value of a wrong type, which was already reported. */
export interface KmsProvider {
  readonly at: Path
  readonly apiVersion: string | undefined
  readonly name: string | undefined
  readonly endpoint: string | undefined
  /** Empty means absent: 3 s. */
  readonly timeout: string | undefined
  readonly cacheSize: number | undefined
}

export interface StaticKey {
  readonly at: Path
  readonly name: string | undefined
  readonly secret: string | undefined
}

const API_VERSION = 'apiserver.config.k8s.io/v1'
const KIND = 'EncryptionConfiguration'
/** Also registered, "due to a docs bug" (apiserver: pkg/apis/apiserver/v1/register.go). */
const LEGACY = { apiVersion: 'v1', kind: 'EncryptionConfig' } as const

/** Decodes a parsed document, with the problems that a strict decoder reports. */
export function decodeDocument(value: unknown): {
  readonly document: EncryptionDocument
  readonly problems: readonly Problem[]
} {
  const decoder = new Decoder()
  const fields = decoder.object(value, [], ['apiVersion', 'kind', 'resources']) ?? {}
  const isLegacy = fields['apiVersion'] === LEGACY.apiVersion && fields['kind'] === LEGACY.kind
  requireText(decoder, fields, 'apiVersion', isLegacy ? LEGACY.apiVersion : API_VERSION)
  requireText(decoder, fields, 'kind', isLegacy ? LEGACY.kind : KIND)
  const rules = decoder
    .list(fields['resources'], ['resources'])
    .map((item, index) => decodeRule(decoder, item, ['resources', index]))
  return { document: { isLegacy, rules }, problems: decoder.problems }
}

function requireText(
  decoder: Decoder,
  fields: Readonly<Record<string, unknown>>,
  name: string,
  expected: string,
): void {
  const found = decoder.text(fields[name], [name])
  if (found === undefined || found === expected) return
  const message = found === '' ? 'is missing' : 'is not supported by kube-apiserver'
  decoder.problems.push({ at: [name], message, hint: `write ${name}: ${expected}` })
}

function decodeRule(decoder: Decoder, value: unknown, at: Path): EncryptionRule {
  const fields = decoder.object(value, at, ['resources', 'providers']) ?? {}
  const resources = decoder
    .list(fields['resources'], [...at, 'resources'])
    .map((item, index) => decoder.text(item, [...at, 'resources', index]) ?? '')
  const providers = decoder
    .list(fields['providers'], [...at, 'providers'])
    .map((item, index) => decodeProvider(decoder, item, [...at, 'providers', index]))
  return { at, resources, providers }
}

function decodeProvider(decoder: Decoder, value: unknown, at: Path): Provider {
  const fields = decoder.object(value, at, PROVIDER_KINDS) ?? {}
  const kinds = PROVIDER_KINDS.filter((kind) => (fields[kind] ?? null) !== null)
  const kms = decodeKms(decoder, fields['kms'], [...at, 'kms'])
  const keys = (['aesgcm', 'aescbc', 'secretbox'] as const).flatMap((kind) =>
    decodeKeys(decoder, fields[kind], [...at, kind]),
  )
  decoder.object(fields['identity'], [...at, 'identity'], [])
  return { at, kinds, keys, kms }
}

function decodeKms(decoder: Decoder, value: unknown, at: Path): KmsProvider | undefined {
  const known = ['apiVersion', 'name', 'endpoint', 'timeout', 'cachesize']
  const fields = decoder.object(value, at, known)
  if (fields === undefined) return undefined
  const text = (name: string) => decoder.text(fields[name], [...at, name])
  // The default is 3 s; an empty string is not a duration.
  if (fields['timeout'] === '')
    decoder.problems.push({ at: [...at, 'timeout'], message: 'is empty', hint: 'write 3s' })
  return {
    at,
    apiVersion: text('apiVersion'),
    name: text('name'),
    endpoint: text('endpoint'),
    timeout: text('timeout'),
    cacheSize: decoder.int32(fields['cachesize'], [...at, 'cachesize']),
  }
}

function decodeKeys(decoder: Decoder, value: unknown, at: Path): readonly StaticKey[] {
  const fields = decoder.object(value, at, ['keys']) ?? {}
  return decoder.list(fields['keys'], [...at, 'keys']).map((item, index) => {
    const place = [...at, 'keys', index]
    const key = decoder.object(item, place, ['name', 'secret']) ?? {}
    return {
      at: place,
      name: decoder.text(key['name'], [...place, 'name']),
      secret: decoder.text(key['secret'], [...place, 'secret']),
    }
  })
}
