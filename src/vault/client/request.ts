import type { CallContext } from '../../call-context.ts'
import type { Secret } from '../../secret.ts'

/** The purpose of a request. It is a metric label, so the set is closed. */
export type VaultOperation =
  | 'encrypt'
  | 'decrypt'
  | 'read_key'
  | 'export_key'
  // Requests of pods at run time.
  | 'rewrap'
  | 'sign'
  | 'verify'
  | 'hmac'
  | 'make_data_key'
  | 'make_random'
  | 'hash'
  | 'list_keys'
  | 'login'
  | 'lookup_token'
  | 'renew_token'
  | 'revoke_token'
  | 'find_leader'
  | 'find_cluster'
  // Only for setup and doctor, never for the servers.
  | 'read_setting'
  | 'list_settings'
  | 'write_setting'
  | 'remove_setting'
  | 'look_up_rights'

/** A request to Vault, without the address, which the client adds. */
export interface VaultRequest {
  readonly operation: VaultOperation
  readonly method: 'GET' | 'POST' | 'LIST' | 'DELETE'
  /** The path under `/v1/`, without a leading slash, and a query; segments from outside are percent-encoded. */
  readonly path: string
  /**
   * Sent as JSON; a field that is a Buffer is base64 text, which the sender owns and zeroes. A Buffer instead of an object is
   * JSON already.
   */
  readonly body?: object | undefined
  /**
   * Whether the response is for another program: its `body` is then the bytes as received, which never become text and which
   * the receiver owns and zeroes, and Vault's own errors with status 400, 404 and the like are responses, too.
   */
  readonly passesOn?: boolean | undefined
  /**
   * Called with the number of bytes of the response that are in memory, as they arrive. If it throws, the request fails with that
   * error.
   */
  readonly onBytes?: ((bytes: number) => void) | undefined
  /**
   * Whether a response is from a node that lags behind another one. The next request then starts at another address, or over
   * another connection.
   */
  readonly isBehind?:
    ((answer: { readonly status: number; readonly text: string }) => boolean) | undefined
  /** Whether all requests of this operation take about equally long: if a later one is answered first, this one is stuck. */
  readonly isUniform?: boolean | undefined
  /** Whether the request must not be sent again after a failure, because Vault may have carried it out: the rotation of a key. */
  readonly isSentOnce?: boolean | undefined
  /**
   * Whether Vault counts rejections (400) toward a lockout. Then a rejection by a proven address is not checked at others, and one
   * by another address only at proven ones, or, if none is proven, at those of other clusters.
   */
  readonly countsRefusals?: boolean | undefined
  /** Sent as X-Vault-Token; without it the request is anonymous (a login). */
  readonly token?: Secret<string> | undefined
  /** Overrides the configured namespace (a login may be in another one); empty for the root namespace. */
  readonly namespace?: string
}

/** A response that is not an error; `body` is parsed JSON, undefined for an empty response. See also `passesOn`. */
export interface VaultResponse {
  readonly status: number
  readonly body: unknown
}

/** Sends requests to Vault: the client itself, or a session that adds its token. */
export interface VaultRequester {
  /**
   * Resolves with the response, or throws a BridgeError: an outage code (see isOutage), VAULT_DENIED (403),
   * VAULT_NOT_FOUND (404), VAULT_REJECTED (other 4xx, with Vault's own words), VAULT_ANSWER_INVALID,
   * VAULT_TLS_INVALID, VAULT_REDIRECT_REFUSED, DEADLINE_EXCEEDED or CANCELLED.
   * A response with `data.batch_results` is not an error, regardless of its status (Transit answers a batch with 400
   * or 500 when one item fails, and the results of the others are in it).
   */
  request(request: VaultRequest, context: CallContext): Promise<VaultResponse>
}

/** Sends requests in a namespace other than the configured one. Undefined: the configured one; empty: the root namespace. */
export function inNamespace(
  requester: VaultRequester,
  namespace: string | undefined,
): VaultRequester {
  if (namespace === undefined) return requester
  return {
    request: (request, context) => requester.request({ ...request, namespace }, context),
  }
}

/** Visible ASCII, at most 4 KiB: longer ones could push a request over a server's limit for headers (8 KiB in nginx). */
const SAFE_UID = /^[\x21-\x7e]{1,4096}$/

/** The headers of a request. `namespace` is the configured one, empty for none. */
export function buildHeaders(
  request: VaultRequest,
  context: CallContext,
  namespace: string,
): Record<string, string> {
  // Vault Agent and Proxy may require X-Vault-Request (require_request_header) as a protection against forged requests.
  const headers: Record<string, string> = { 'X-Vault-Request': 'true' }
  if (request.body !== undefined) headers['Content-Type'] = 'application/json'
  if (request.token !== undefined) headers['X-Vault-Token'] = request.token.reveal()
  const effective = request.namespace ?? namespace
  if (effective !== '') headers['X-Vault-Namespace'] = effective
  const { uid } = context
  if (uid !== undefined && SAFE_UID.test(uid)) headers['X-Transit-Bridge-UID'] = uid
  return headers
}
