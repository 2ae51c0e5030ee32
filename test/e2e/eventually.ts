import { setTimeout as sleep } from 'node:timers/promises'
import type { Patience } from '../real/program.ts'

/**
 * Asks again and again until `look` gives something (neither undefined nor false) and returns that. An error
 * that it throws counts as "not yet" and is part of the message when time is up.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 30_000, intervalMs = 100 }: Patience = {},
): Promise<T> {
  const end = performance.now() + timeoutMs
  let last = ''
  do {
    try {
      const seen = await look()
      if (seen !== undefined && seen !== false) return seen
      last = ''
    } catch (error) {
      last = ` (last: ${error instanceof Error ? error.message : String(error)})`
    }
    await sleep(intervalMs)
  } while (performance.now() < end)
  throw new Error(`waited ${String(timeoutMs)} ms for ${what}${last}`)
}
