import { status } from '@grpc/grpc-js'
import type { ErrorCode } from '../errors.ts'
import { toGrpcStatus } from '../grpc/status.ts'

/** After these codes the kubelet assumes that the volume may still be mounting (1.37, pkg/volume/csi/csi_client.go). */
const UNCERTAIN: ReadonlySet<status> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.UNAVAILABLE,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
])

/**
 * Returns the gRPC status of a failed Mount, never an uncertain one. After an uncertain status the kubelet keeps the
 * volume's folder, and driver 1.6 skips a folder that is younger than its rotation interval: the next attempt would
 * succeed, and the pod would start without files. In addition, the driver retries UNAVAILABLE three times before it
 * reports an error. See docs/design.md, "CSI errors".
 */
export function toMountStatus(code: ErrorCode): status {
  const usual = toGrpcStatus(code)
  return UNCERTAIN.has(usual) ? status.FAILED_PRECONDITION : usual
}
