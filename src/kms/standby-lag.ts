import type { CallContext } from '../call-context.ts'
import { BridgeError } from '../errors.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import type { Clock } from '../time/clock.ts'

/** Wait before asking an HA standby again for a key version that it does not have yet. */
const WAIT_MS = 100
/** Each one may reach another node, because the client leaves a node that lags. */
const TRIES = 8

/** Retries briefly: an HA standby may not know the newest version yet, while the leader does. */
export async function retryWhileStandbyLags<T>(
  work: () => Promise<T>,
  context: CallContext,
  clock: Clock,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work()
    } catch (error) {
      const isLagging = error instanceof BridgeError && error.code === 'KEY_VERSION_UNKNOWN'
      const hasTime = clock.monotonic() + WAIT_MS < context.deadline
      if (!isLagging || tries >= TRIES || !hasTime) throw error
      await pause(WAIT_MS, context, clock)
    }
  }
}

/**
 * Throws DEADLINE_EXCEEDED or CANCELLED if the caller gives up before the time has passed. Timers of Node.js count whole
 * milliseconds, so they may end before that.
 */
export async function pause(ms: number, context: CallContext, clock: Clock): Promise<void> {
  const until = clock.monotonic() + ms
  for (let leftMs = ms; leftMs > 0; leftMs = until - clock.monotonic()) {
    const passed = new Promise<void>((resolve) => void clock.after(leftMs, resolve))
    await waitWithin(passed, context, clock, 'Vault')
  }
}
