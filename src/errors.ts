/** What went wrong, as a program reads it. Stable: scripts, metrics and tests rely on these words. */
export type ErrorCode =
  // What the person at the command line gave us.
  | 'USAGE_INVALID'
  | 'CONFIG_INVALID'
  // What a caller on the socket gave us.
  | 'REQUEST_INVALID'
  | 'CIPHERTEXT_INVALID'
  | 'KEY_ID_UNKNOWN'
  | 'ANNOTATIONS_INVALID'
  | 'CLUSTER_FOREIGN'
  | 'KEY_VERSION_DISABLED'
  // What a pod asks of the CSI provider, and who it is.
  | 'CLASS_INVALID'
  | 'POD_TOKEN_MISSING'
  | 'POD_TOKEN_INVALID'
  | 'RULE_DENIED'
  | 'OBJECT_MISSING'
  | 'OBJECT_UNSUITABLE'
  | 'CONTENT_TOO_LARGE'
  // Limits of one call.
  | 'DEADLINE_EXCEEDED'
  | 'CANCELLED'
  | 'OVERLOADED'
  // Vault cannot answer: an outage, which passes by itself.
  | 'VAULT_UNREACHABLE'
  | 'VAULT_TIMEOUT'
  | 'VAULT_SEALED'
  | 'VAULT_UNAVAILABLE'
  | 'VAULT_RATE_LIMITED'
  // A node of Vault does not know a key version yet that another node told us of.
  | 'KEY_VERSION_UNKNOWN'
  // Vault answers and says no: a refusal, which somebody must mend.
  | 'VAULT_DENIED'
  | 'VAULT_REJECTED'
  | 'VAULT_NOT_FOUND'
  | 'VAULT_ANSWER_INVALID'
  | 'VAULT_TLS_INVALID'
  | 'VAULT_REDIRECT_REFUSED'
  | 'LOGIN_REFUSED'
  | 'KEY_MISSING'
  | 'KEY_UNSUITABLE'
  // Who we are.
  | 'IDENTITY_MISSING'
  | 'IDENTITY_INVALID'
  // The cluster's own store, and copies of it.
  | 'ETCD_UNREACHABLE'
  | 'ETCD_DENIED'
  | 'ETCD_FAILED'
  | 'ETCD_COMPACTED'
  | 'SNAPSHOT_INVALID'
  | 'STORE_EMPTY'
  // The cluster, as its API servers tell of it.
  | 'KUBE_UNREACHABLE'
  | 'KUBE_DENIED'
  | 'KUBE_NOT_FOUND'
  | 'KUBE_CONFLICT'
  | 'KUBE_BUSY'
  | 'KUBE_FAILED'
  | 'PLUGIN_UNREACHABLE'
  // A procedure that must not begin, or not go on, as things are.
  | 'NOT_CONVERGED'
  | 'NOT_FINISHED'
  | 'STATE_INVALID'
  // This host.
  | 'SOCKET_IN_USE'
  | 'SOCKET_BLOCKED'
  | 'SOCKET_FAILED'
  | 'HOST_FAILED'
  | 'INTERNAL'

export interface ErrorOptions {
  /** What led to this error; kept for the log, never sent to a caller. */
  readonly cause?: unknown
}

/**
 * The one error class of the program. `message` is a lower-case sentence without a full stop that says
 * what is wrong, where and what to do; it never holds a secret and may be sent to a caller.
 */
export class BridgeError extends Error {
  override readonly name = 'BridgeError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }

  /** The only place where an unknown thrown value becomes one of ours: INTERNAL, with the cause kept. */
  static from(thrown: unknown): BridgeError {
    if (thrown instanceof BridgeError) return thrown
    return new BridgeError('INTERNAL', 'internal error', { cause: thrown })
  }
}

const OUTAGES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_UNREACHABLE',
  'VAULT_TIMEOUT',
  'VAULT_SEALED',
  'VAULT_UNAVAILABLE',
  'VAULT_RATE_LIMITED',
  'KEY_VERSION_UNKNOWN',
])

/** Whether an error says that Vault cannot answer now, as opposed to Vault saying no (design §2.6). */
export function isOutage(error: BridgeError): boolean {
  return OUTAGES.has(error.code)
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_DENIED',
  'VAULT_REJECTED',
  'VAULT_NOT_FOUND',
  'LOGIN_REFUSED',
  'KEY_MISSING',
  'KEY_UNSUITABLE',
])

/** Whether an error is Vault saying no: what it gave before must not be given out any longer (design §2.9). */
export function isRefusal(error: BridgeError): boolean {
  return REFUSALS.has(error.code)
}

const OF_VAULT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...OUTAGES,
  ...REFUSALS,
  'VAULT_ANSWER_INVALID',
  'VAULT_TLS_INVALID',
  'VAULT_REDIRECT_REFUSED',
  'KEY_ID_UNKNOWN',
  'KEY_VERSION_DISABLED',
  'IDENTITY_MISSING',
  'IDENTITY_INVALID',
])

/** Whether an error is about Vault, its key, or the identity that logs in to it. */
export function isVaultError(error: BridgeError): boolean {
  return OF_VAULT.has(error.code)
}

const OF_KUBE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'KUBE_UNREACHABLE',
  'KUBE_NOT_FOUND',
  'KUBE_CONFLICT',
  'KUBE_BUSY',
  'KUBE_FAILED',
])

/** Whether a request to an API server failed for another reason than missing rights. */
export function isKubeFailure(error: BridgeError): boolean {
  return OF_KUBE.has(error.code)
}
