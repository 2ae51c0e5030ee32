import type { CallContext } from '../call-context.ts'
import type { Clock } from './clock.ts'
import { BridgeError } from '../errors.ts'

/**
 * Waits for work that several callers share, until this caller's deadline. Throws DEADLINE_EXCEEDED or CANCELLED, with
 * `what` as the name of the work, and the work continues for the other callers.
 */
export function waitWithin<T>(
  work: Promise<T>,
  context: CallContext,
  clock: Clock,
  what: string,
): Promise<T> {
  const { signal, deadline } = context
  return new Promise<T>((resolve, reject) => {
    const stopWaiting = (error: BridgeError) => {
      end()
      reject(error)
    }
    const onDeadline = () =>
      stopWaiting(
        new BridgeError(
          'DEADLINE_EXCEEDED',
          `the call's deadline passed while it waited for ${what}`,
        ),
      )
    const onAbort = () =>
      stopWaiting(
        new BridgeError('CANCELLED', `the caller disconnected while it waited for ${what}`),
      )
    const cancel = clock.after(Math.max(0, deadline - clock.monotonic()), onDeadline)
    const end = () => {
      cancel()
      signal?.removeEventListener('abort', onAbort)
    }
    signal?.addEventListener('abort', onAbort)
    work.then(resolve, reject).finally(end)
    if (signal?.aborted === true) onAbort()
  })
}
