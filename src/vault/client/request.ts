import type { CallContext } from '../../call-context.ts'
import type { Secret } from '../../secret.ts'

/** What a request is for: the label of its metric and log line, so the set is closed. */
export type VaultOperation =
  | 'encrypt'
  | 'decrypt'
  | 'read_key'
  | 'export_key'
  | 'login'
  | 'lookup_token'
  | 'renew_token'
  | 'revoke_token'
  // What setup and doctor ask; the servers never do.
  | 'read_setting'
  | 'list_settings'
  | 'write_setting'
  | 'remove_setting'
  | 'look_up_rights'

/** One request to Vault, without the address: the client knows where Vault is. */
export interface VaultRequest {
  readonly operation: VaultOperation
  readonly method: 'GET' | 'POST' | 'LIST' | 'DELETE'
  /** Below `/v1/`, without a leading slash; segments that come from outside are percent-encoded. */
  readonly path: string
  readonly body?: object
  /** Sent as X-Vault-Token; without it the request is anonymous (a login). */
  readonly token?: Secret<string>
  /** Instead of the configured namespace (a login may live in another); empty for the root namespace. */
  readonly namespace?: string
}

/** An answer that is not an error; `body` is parsed JSON, undefined for an empty answer. */
export interface VaultResponse {
  readonly status: number
  readonly body: unknown
}

/** Something that brings requests to Vault: the client itself, or a session that adds its token. */
export interface VaultRequester {
  /**
   * Resolves with the answer, or throws a BridgeError: an outage code (see isOutage), VAULT_DENIED (403),
   * VAULT_NOT_FOUND (404), VAULT_REJECTED (other 4xx, with Vault's own words), VAULT_ANSWER_INVALID,
   * VAULT_TLS_INVALID, VAULT_REDIRECT_REFUSED, DEADLINE_EXCEEDED or CANCELLED.
   * An answer with `data.batch_results` is no error whatever its status (Transit answers a batch with 400
   * or 500 when one item fails, and the results of the others are in it).
   */
  request(request: VaultRequest, context: CallContext): Promise<VaultResponse>
}
