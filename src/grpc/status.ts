import { status } from '@grpc/grpc-js'
import type { ErrorCode } from '../errors.ts'

/** The one table that maps our codes to gRPC's. kube-apiserver shows those in its metric label grpc_status_code. */
const STATUS_OF: Readonly<Record<ErrorCode, status>> = {
  USAGE_INVALID: status.INTERNAL,
  CONFIG_INVALID: status.INTERNAL,
  FILE_DAMAGED: status.INTERNAL,
  REQUEST_INVALID: status.INVALID_ARGUMENT,
  CIPHERTEXT_INVALID: status.INVALID_ARGUMENT,
  ANNOTATIONS_INVALID: status.INVALID_ARGUMENT,
  KEY_ID_UNKNOWN: status.FAILED_PRECONDITION,
  CLUSTER_FOREIGN: status.FAILED_PRECONDITION,
  KEY_VERSION_DISABLED: status.FAILED_PRECONDITION,
  KEY_MISSING: status.FAILED_PRECONDITION,
  KEY_UNSUITABLE: status.FAILED_PRECONDITION,
  AAD_IGNORED: status.FAILED_PRECONDITION,
  PLAINTEXT_WRONG: status.FAILED_PRECONDITION,
  CLASS_INVALID: status.INVALID_ARGUMENT,
  POD_TOKEN_MISSING: status.UNAUTHENTICATED,
  POD_TOKEN_INVALID: status.UNAUTHENTICATED,
  RULE_DENIED: status.PERMISSION_DENIED,
  OBJECT_MISSING: status.NOT_FOUND,
  OBJECT_UNSUITABLE: status.FAILED_PRECONDITION,
  // Not RESOURCE_EXHAUSTED, after which the kubelet assumes that a volume may be mounted (csi/mount-status.ts).
  CONTENT_TOO_LARGE: status.FAILED_PRECONDITION,
  DEADLINE_EXCEEDED: status.DEADLINE_EXCEEDED,
  CANCELLED: status.CANCELLED,
  OVERLOADED: status.RESOURCE_EXHAUSTED,
  VAULT_UNREACHABLE: status.UNAVAILABLE,
  VAULT_TIMEOUT: status.UNAVAILABLE,
  VAULT_SEALED: status.UNAVAILABLE,
  VAULT_UNAVAILABLE: status.UNAVAILABLE,
  VAULT_RATE_LIMITED: status.UNAVAILABLE,
  KEY_VERSION_UNKNOWN: status.UNAVAILABLE,
  VAULT_DENIED: status.PERMISSION_DENIED,
  LOGIN_REFUSED: status.PERMISSION_DENIED,
  IDENTITY_MISSING: status.PERMISSION_DENIED,
  IDENTITY_INVALID: status.PERMISSION_DENIED,
  VAULT_NOT_FOUND: status.FAILED_PRECONDITION,
  VAULT_REJECTED: status.FAILED_PRECONDITION,
  VAULT_TLS_INVALID: status.UNAVAILABLE,
  VAULT_REDIRECT_REFUSED: status.UNAVAILABLE,
  VAULT_ANSWER_INVALID: status.UNAVAILABLE,
  ETCD_UNREACHABLE: status.UNAVAILABLE,
  ETCD_DENIED: status.PERMISSION_DENIED,
  ETCD_FAILED: status.INTERNAL,
  ETCD_COMPACTED: status.INTERNAL,
  SNAPSHOT_INVALID: status.INTERNAL,
  STORE_EMPTY: status.INTERNAL,
  KUBE_UNREACHABLE: status.UNAVAILABLE,
  KUBE_DENIED: status.PERMISSION_DENIED,
  KUBE_NOT_FOUND: status.INTERNAL,
  KUBE_CONFLICT: status.INTERNAL,
  KUBE_BUSY: status.UNAVAILABLE,
  KUBE_FAILED: status.INTERNAL,
  PLUGIN_UNREACHABLE: status.UNAVAILABLE,
  LOCAL_KEY_MISSING: status.FAILED_PRECONDITION,
  NOT_CONVERGED: status.FAILED_PRECONDITION,
  NOT_FINISHED: status.FAILED_PRECONDITION,
  STATE_INVALID: status.INTERNAL,
  SOCKET_IN_USE: status.INTERNAL,
  SOCKET_BLOCKED: status.INTERNAL,
  SOCKET_FAILED: status.INTERNAL,
  HOST_UNAVAILABLE: status.UNAVAILABLE,
  HOST_FAILED: status.INTERNAL,
  INTERNAL: status.INTERNAL,
}

/** The gRPC status of an error code. */
export function toGrpcStatus(code: ErrorCode): status {
  return STATUS_OF[code]
}

/** The text of a status is sent in a header, and a peer closes the connection if the headers are too large. */
const MAX_DETAILS_LENGTH = 1_000

/** grpc-js percent-encodes the text of a status, and throws on half a surrogate pair where no caller can catch it. */
export function toDetails(message: string): string {
  return message.slice(0, MAX_DETAILS_LENGTH).toWellFormed()
}
