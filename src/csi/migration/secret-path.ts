/** What a `secretPath` of the Vault provider refers to. */
export type SecretPlace =
  | { readonly kind: 'decrypt'; readonly mount: string; readonly key: string }
  | KvPlace
  | TransitOperation
  | { readonly kind: 'other' }

interface KvPlace {
  readonly kind: 'kv'
  readonly mount: string
  readonly name: string
  /** The version in a query such as `?version=2`. */
  readonly version: string | undefined
}

interface TransitOperation {
  readonly kind: 'transit'
  readonly mount: string
  readonly key: string
  /** Only of an export. */
  readonly version: string | undefined
  /** Such as "keys/NAME". */
  readonly operation: string
  /** The similar object type of this provider, if there is one. */
  readonly type: 'keyInfo' | 'exportedKey' | 'dataKey' | undefined
  readonly advice: string
}

/** The patterns below take quadratic time for some paths. Those of Vault are short. */
const MAX_PATH_LENGTH = 1024
const VERSION = /^version=[0-9]+$/
const DECRYPT = /^(?<mount>.+)\/decrypt\/(?<key>[^/]+)$/
const EXPORT =
  /^(?<mount>.+)\/export\/[a-z]+(?:-[a-z]+)*-key\/(?<key>[^/]+)(?:\/(?<version>[^/]+))?$/
const DATA_KEY = /^(?<mount>.+)\/datakey\/(?:plaintext|wrapped)\/(?<key>[^/]+)$/
const KEYS = /^(?<mount>.+)\/keys\/(?<key>[^/]+)$/
const OTHERS =
  /^(?<mount>.+)\/(?<operation>encrypt|rewrap|sign|verify|hmac|cmac|random|hash)\/(?<key>.+)$/
const KV_2 = /^(?<mount>.+?)\/data\/(?<name>.+)$/
/** Without `data/` a path can be KV version 1, or any other engine. This is the mount that Vault documents for KV. */
const KV_1 = /^(?<mount>kv|secret)\/(?<name>.+)$/

/** Reads a path. The Vault provider also accepts it with a leading slash or `v1/`, and with a query. */
export function readSecretPath(secretPath: string): SecretPlace {
  const [place = '', ...query] = secretPath.split('?')
  const path = place.replace(/^\/?(?:v1\/)?/, '')
  if (path.length > MAX_PATH_LENGTH) return { kind: 'other' }
  const { mount = '', name = '' } = (KV_2.exec(path) ?? KV_1.exec(path))?.groups ?? {}
  const version = query
    .flatMap((part) => part.split('&'))
    .findLast((part) => VERSION.test(part))
    ?.slice('version='.length)
  if (name !== '') return { kind: 'kv', mount, name, version }
  const decrypt = DECRYPT.exec(path)?.groups
  if (decrypt !== undefined)
    return { kind: 'decrypt', mount: decrypt['mount'] ?? '', key: decrypt['key'] ?? '' }
  return (
    describe(EXPORT, path, 'export', 'exportedKey', 'type exportedKey mounts the key itself') ??
    describe(
      DATA_KEY,
      path,
      'datakey',
      'dataKey',
      'every Mount would create another key; create one with transit/datakey/wrapped/KEY and mount it with type dataKey',
    ) ??
    describe(
      KEYS,
      path,
      'keys',
      'keyInfo',
      'types publicKey and jwks mount public keys, type keyInfo the versions',
    ) ??
    describe(OTHERS, path, 'an operation of Transit', undefined, 'it has no counterpart') ?? {
      kind: 'other',
    }
  )
}

function describe(
  pattern: RegExp,
  path: string,
  operation: string,
  type: TransitOperation['type'],
  advice: string,
): TransitOperation | undefined {
  const groups = pattern.exec(path)?.groups
  if (groups === undefined) return undefined
  const { mount = '', key = '', version } = groups
  return { kind: 'transit', mount, key, version, operation, type, advice }
}
