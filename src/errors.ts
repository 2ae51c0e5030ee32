/** What went wrong, for programs. Stable: scripts, metrics and tests rely on these codes. */
export type ErrorCode =
  // Invalid input on the command line.
  | 'USAGE_INVALID'
  | 'CONFIG_INVALID'
  | 'FILE_DAMAGED'
  // Invalid input from a caller on the socket.
  | 'REQUEST_INVALID'
  | 'CIPHERTEXT_INVALID'
  | 'KEY_ID_UNKNOWN'
  | 'ANNOTATIONS_INVALID'
  | 'CLUSTER_FOREIGN'
  | 'KEY_VERSION_DISABLED'
  // A pod's request to the CSI provider, and the pod's identity.
  | 'CLASS_INVALID'
  | 'POD_TOKEN_MISSING'
  | 'POD_TOKEN_INVALID'
  | 'RULE_DENIED'
  | 'OBJECT_MISSING'
  | 'OBJECT_UNSUITABLE'
  | 'CONTENT_TOO_LARGE'
  // Limits of a call.
  | 'DEADLINE_EXCEEDED'
  | 'CANCELLED'
  | 'OVERLOADED'
  // Vault cannot answer: an outage, which ends without a change here.
  | 'VAULT_UNREACHABLE'
  | 'VAULT_TIMEOUT'
  | 'VAULT_SEALED'
  | 'VAULT_UNAVAILABLE'
  | 'VAULT_RATE_LIMITED'
  // A standby does not know a key version yet that another node already reported.
  | 'KEY_VERSION_UNKNOWN'
  // Something other than Vault answers, or Vault cannot be reached through it: an outage once Vault was proven.
  | 'VAULT_ANSWER_INVALID'
  | 'VAULT_TLS_INVALID'
  | 'VAULT_REDIRECT_REFUSED'
  // Vault itself refuses. Retrying does not help; a person must change something.
  | 'VAULT_DENIED'
  | 'VAULT_REJECTED'
  | 'VAULT_NOT_FOUND'
  | 'LOGIN_REFUSED'
  | 'KEY_MISSING'
  | 'KEY_UNSUITABLE'
  | 'AAD_IGNORED'
  | 'PLAINTEXT_WRONG'
  // Our own identity.
  | 'IDENTITY_MISSING'
  | 'IDENTITY_INVALID'
  // etcd, and snapshots of it.
  | 'ETCD_UNREACHABLE'
  | 'ETCD_DENIED'
  | 'ETCD_FAILED'
  | 'ETCD_COMPACTED'
  | 'SNAPSHOT_INVALID'
  | 'STORE_EMPTY'
  // The cluster as its API servers report it.
  | 'KUBE_UNREACHABLE'
  | 'KUBE_DENIED'
  | 'KUBE_NOT_FOUND'
  | 'KUBE_CONFLICT'
  | 'KUBE_BUSY'
  | 'KUBE_FAILED'
  | 'PLUGIN_UNREACHABLE'
  // A procedure that cannot start or continue in the current state.
  | 'NOT_CONVERGED'
  | 'NOT_FINISHED'
  | 'STATE_INVALID'
  // This host.
  | 'LOCAL_KEY_MISSING'
  | 'SOCKET_IN_USE'
  | 'SOCKET_BLOCKED'
  | 'SOCKET_FAILED'
  // Neither the file nor the setting is at fault: no descriptors or memory left, a disk error, a mount that hangs.
  | 'HOST_UNAVAILABLE'
  | 'HOST_FAILED'
  | 'INTERNAL'

export interface ErrorOptions {
  /** The original error; kept for the log, never sent to a caller. */
  readonly cause?: unknown
  readonly retryAfterMs?: number | undefined
}

/**
 * The only error class of the program. `message` is a lower-case sentence without a final period that says
 * what is wrong, where, and what to do next. It never contains a secret and may be sent to a caller.
 */
export class BridgeError extends Error {
  override readonly name = 'BridgeError'
  readonly code: ErrorCode
  /** How long Vault asks the caller to wait (Retry-After); undefined if it does not. */
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }

  /** The only place where an unknown thrown value becomes a BridgeError: INTERNAL, with the cause kept. */
  static from(thrown: unknown): BridgeError {
    if (thrown instanceof BridgeError) return thrown
    return new BridgeError('INTERNAL', 'internal error', { cause: thrown })
  }
}

const SILENCES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_UNREACHABLE',
  'VAULT_TIMEOUT',
  'VAULT_SEALED',
  'VAULT_UNAVAILABLE',
  'VAULT_RATE_LIMITED',
  'VAULT_ANSWER_INVALID',
  'VAULT_TLS_INVALID',
  'VAULT_REDIRECT_REFUSED',
  'KEY_VERSION_UNKNOWN',
])
const OUTAGES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([...SILENCES, 'HOST_UNAVAILABLE'])

/**
 * Whether an error means that Vault cannot answer or be asked now, as opposed to {@link isRefusal}. Only Vault's own
 * error response is a refusal; everything else on the way is an outage (docs/design.md, "Outage and refusal").
 */
export function isOutage(error: BridgeError): boolean {
  return OUTAGES.has(error.code)
}

/** Whether an error means that Vault does not answer, and not that this host cannot ask it. */
export function isVaultSilent({ code }: Pick<BridgeError, 'code'>): boolean {
  return SILENCES.has(code)
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_DENIED',
  'VAULT_REJECTED',
  'VAULT_NOT_FOUND',
  'LOGIN_REFUSED',
  'KEY_MISSING',
  'KEY_UNSUITABLE',
  'AAD_IGNORED',
  'PLAINTEXT_WRONG',
])

/**
 * Whether an error is Vault's refusal: what it returned before must no longer be served from a cache
 * (docs/design.md, "Outage and refusal").
 */
export function isRefusal(error: BridgeError): boolean {
  return REFUSALS.has(error.code)
}

const OF_IDENTITY: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'IDENTITY_MISSING',
  'IDENTITY_INVALID',
])

/** Whether this program has no credential to log in with. Vault was not asked, so it has refused nothing. */
export function isIdentityFault(error: BridgeError): boolean {
  return OF_IDENTITY.has(error.code)
}

const OF_VAULT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...SILENCES,
  ...REFUSALS,
  ...OF_IDENTITY,
  'KEY_ID_UNKNOWN',
  'KEY_VERSION_DISABLED',
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

/** Whether a request to an API server failed for a reason other than missing rights. */
export function isKubeFailure(error: BridgeError): boolean {
  return OF_KUBE.has(error.code)
}
