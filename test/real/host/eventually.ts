import { setTimeout as sleep } from 'node:timers/promises'

export type Patience = { timeoutMs?: number; intervalMs?: number }

/**
 * Calls `look` until it returns something other than undefined and false, and returns that. An error that
 * it throws counts as "not yet" and is part of the message when time is up. `what` completes "waited for".
 * As soon as `giveUp` returns a reason, the wait fails with it.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 30_000, intervalMs = 25 }: Patience = {},
  giveUp: () => string | undefined = () => undefined,
): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const reason = giveUp()
    if (reason !== undefined) throw new Error(`${reason} before ${what}`)
    let last = ''
    try {
      const seen = await look()
      if (seen !== undefined && seen !== false) return seen
    } catch (error) {
      last = ` (last: ${error instanceof Error ? error.message : String(error)})`
    }
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}${last}`)
    await sleep(intervalMs)
  }
}
