import type { CsiOperation } from '../../config/config.ts'
import type { VaultOperation } from '../../vault/client/request.ts'

/** One form of a path, relative to the mount of a Transit engine, and its operation. */
interface PathForm {
  readonly operation: CsiOperation
  /** The name of the request in metrics and messages of the Vault client. */
  readonly vaultOperation: VaultOperation
  readonly method: 'POST' | 'GET' | 'LIST'
  /** Matches the path; its first group is the key, if there is one. */
  readonly form: RegExp
}

/** GenericNameRegex of Vault and OpenBao (sdk/framework/path.go). */
const KEY = String.raw`(\w(?:[\w.-]*\w)?)`
/** Names of hash algorithms, such as sha2-256. */
const ALGORITHM = String.raw`[a-z0-9-]{1,32}`

/**
 * The paths that are passed on to Vault (openbao builtin/logical/transit, path_*.go). sigstore writes an empty segment before the
 * algorithm (`verify/<key>//sha2-256`), which Vault's HTTP server removes with a redirect.
 */
const FORMS: readonly PathForm[] = [
  post('encrypt', 'encrypt', `encrypt/${KEY}`),
  post('decrypt', 'decrypt', `decrypt/${KEY}`),
  post('rewrap', 'rewrap', `rewrap/${KEY}`),
  post('sign', 'sign', `sign/${KEY}(?://?${ALGORITHM})?`),
  post('verify', 'verify', `verify/${KEY}(?://?${ALGORITHM})?`),
  post('hmac', 'hmac', `hmac/${KEY}(?:/${ALGORITHM})?`),
  post('dataKey', 'make_data_key', `datakey/(?:plaintext|wrapped)/${KEY}`),
  post('random', 'make_random', String.raw`random(?:/(?:platform|seal|all))?(?:/\d{1,6})?`),
  post('hash', 'hash', `hash(?:/${ALGORITHM})?`),
  { operation: 'keyInfo', vaultOperation: 'read_key', method: 'GET', form: exactly(`keys/${KEY}`) },
  { operation: 'keyInfo', vaultOperation: 'list_keys', method: 'LIST', form: exactly('keys/?') },
]

/** A request to a Transit engine that may be passed on. */
export interface EngineRequest {
  readonly operation: CsiOperation
  readonly vaultOperation: VaultOperation
  readonly method: 'POST' | 'GET' | 'LIST'
  /** Undefined for requests to the engine itself. */
  readonly key: string | undefined
  /** Relative to the mount, without empty segments. */
  readonly path: string
}

/**
 * Recognizes a path relative to the mount of an engine. Returns undefined if the path is not passed on, and 'method' if it is
 * passed on only with another method.
 */
export function recognizePath(
  path: string,
  method: EngineRequest['method'],
): EngineRequest | 'method' | undefined {
  const found = FORMS.filter(({ form }) => form.test(path))
  if (found.length === 0) return undefined
  const form = found.find((candidate) => candidate.method === method)
  if (form === undefined) return 'method'
  const { operation, vaultOperation } = form
  const key = form.form.exec(path)?.[1]
  return { operation, vaultOperation, method, key, path: path.replace('//', '/') }
}

function post(operation: CsiOperation, vaultOperation: VaultOperation, form: string): PathForm {
  return { operation, vaultOperation, method: 'POST', form: exactly(form) }
}

function exactly(form: string): RegExp {
  return new RegExp(`^${form}$`)
}
