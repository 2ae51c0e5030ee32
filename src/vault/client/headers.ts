import type { CallContext } from '../../call-context.ts'
import type { VaultRequest } from './request.ts'

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
