import { status } from '@grpc/grpc-js'
import type { ErrorCode } from '../errors.ts'
import { toGrpcStatus } from '../grpc/status.ts'

/** After these kubelet cannot know whether a volume is still being mounted (1.37, pkg/volume/csi/csi_client.go). */
const UNCERTAIN: ReadonlySet<status> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.UNAVAILABLE,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
])

/**
 * The status of a Mount that failed, never one that kubelet finds uncertain. After such a one it keeps the volume's
 * folder, and driver 1.6 takes a folder that is younger than its rotation interval for a volume that needs nothing:
 * the next try would be a success, and the pod would start without a file. UNAVAILABLE would moreover be tried three
 * times by the driver before anybody is told.
 */
export function toMountStatus(code: ErrorCode): status {
  const usual = toGrpcStatus(code)
  return UNCERTAIN.has(usual) ? status.FAILED_PRECONDITION : usual
}
