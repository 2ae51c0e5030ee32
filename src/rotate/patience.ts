import type { Convergence } from '../convergence/convergence.ts'
import { BridgeError, isOutage, isVaultSilent } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import { wait } from '../time/wait.ts'

const POLL_MS = 2_000
/** How often to repeat an unchanged note about what it waits for. */
const REMIND_MS = 60_000

export interface PatienceOptions {
  readonly clock: Clock
  /** How long to wait for API servers, and for Vault during an outage. */
  readonly patienceMs: number
  readonly onNote: (note: string) => void
}

/** Waits for the end of an outage of Vault: what a rotation has done so far stays valid. */
export async function outlastOutage<T>(
  read: () => Promise<T>,
  { clock, patienceMs, onNote }: PatienceOptions,
  signal: AbortSignal,
): Promise<T> {
  const startedAt = clock.monotonic()
  for (let isReported = false; ; isReported = true) {
    if (signal.aborted) throw stopped()
    try {
      return await read()
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (!isOutage(error) || clock.monotonic() - startedAt > patienceMs) throw error
      if (!isReported)
        onNote(`waiting for ${isVaultSilent(error) ? 'Vault' : 'this host'}: ${error.message}`)
      await wait(POLL_MS, clock, signal)
    }
  }
}

/** Waits until the cluster converges. Returns the reasons if it does not in time, or if an API server cannot be seen. */
export async function waitForConvergence(
  judge: () => Promise<Convergence>,
  { clock, patienceMs, onNote }: PatienceOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const startedAt = clock.monotonic()
  let reported = ''
  let reportedAt = startedAt
  for (;;) {
    const { isReached, reasons, unseen } = await judge()
    if (isReached) return undefined
    if (unseen.length > 0) return unseen.join('; ')
    const now = clock.monotonic()
    const text = reasons.join('; ')
    if (now - startedAt > patienceMs) return text
    if (text !== reported || now - reportedAt > REMIND_MS) {
      onNote(`waiting: ${text}`)
      reportedAt = now
    }
    reported = text
    await wait(POLL_MS, clock, signal)
    if (signal.aborted) throw stopped()
  }
}

/** The caller's signal was aborted. */
export function stopped(): BridgeError {
  return new BridgeError('CANCELLED', 'stopped')
}
