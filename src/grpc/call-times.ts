import type { Deadline } from '@grpc/grpc-js'
import type { Clock } from '../time/clock.ts'

/** Longest time of any call, including one without a deadline. */
const MAX_CALL_MS = 30_000
/**
 * Reserved from the caller's time, so that the answer arrives before the caller gives up: at its own deadline, a caller sees
 * only "Deadline Exceeded", without the reason. The work must end before the reserve begins. If it has not even failed by the
 * middle of the reserve, the call is answered without it.
 */
const ANSWER_SHARE = 0.1
/** Even a single answer takes some time. Of a very short deadline, half is reserved. */
const MIN_ANSWER_MS = 20
const MAX_ANSWER_MS = 100

export interface CallTimes {
  /** When the work must be finished, by the monotonic clock. */
  readonly deadline: number
  /** Time until the call is answered even if the work is not finished. */
  readonly answerAfterMs: number
}

/** Divides the time until a caller's deadline into the time for the work and the reserve for the answer. */
export function divideTime(callerDeadline: Deadline, clock: Clock): CallTimes {
  const leftMs = Math.min(Number(callerDeadline) - clock.now(), MAX_CALL_MS)
  const shareMs = Math.max(leftMs * ANSWER_SHARE, MIN_ANSWER_MS)
  const reserveMs = Math.max(0, Math.min(shareMs, leftMs / 2, MAX_ANSWER_MS))
  const deadline = clock.monotonic() + leftMs - reserveMs
  return { deadline, answerAfterMs: Math.max(0, leftMs - reserveMs / 2) }
}
