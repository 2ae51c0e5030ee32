import type { CallContext } from '../call-context.ts'
import type { Clock } from './clock.ts'
import { BridgeError } from '../errors.ts'

/**
 * Waits for work that several callers share, for as long as this caller can. The work itself goes on when
 * the caller gives up with DEADLINE_EXCEEDED or CANCELLED. `what` names the work in those messages.
 */
export function waitWithin<T>(
  work: Promise<T>,
  context: CallContext,
  clock: Clock,
  what: string,
): Promise<T> {
  const { signal, deadline } = context
  return new Promise<T>((resolve, reject) => {
    const giveUp = (error: BridgeError) => {
      end()
      reject(error)
    }
    const late = () =>
      giveUp(
        new BridgeError(
          'DEADLINE_EXCEEDED',
          `the call's deadline passed while it waited for ${what}`,
        ),
      )
    const gone = () =>
      giveUp(new BridgeError('CANCELLED', `the caller went away while it waited for ${what}`))
    const cancel = clock.after(Math.max(0, deadline - clock.monotonic()), late)
    const end = () => {
      cancel()
      signal?.removeEventListener('abort', gone)
    }
    signal?.addEventListener('abort', gone)
    work.then(resolve, reject).finally(end)
    if (signal?.aborted === true) gone()
  })
}
