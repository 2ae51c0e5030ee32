import type { Clock } from './clock.ts'

/** If the wall clock gains more than this over the monotonic clock, the machine was suspended; less is an adjustment. */
const SUSPENDED_MS = 1_000

/**
 * Returns a function for the milliseconds since its creation, which never go back and which include the time that the
 * machine was suspended. Clock.monotonic excludes it (clock_gettime(2), CLOCK_MONOTONIC), so the wall clock supplies
 * it. A wall clock that is set forward makes things older, never younger.
 */
export function elapsedTime(clock: Clock): () => number {
  let monotonic = clock.monotonic()
  let wall = clock.now()
  let elapsedMs = 0
  return () => {
    const passedMs = clock.monotonic() - monotonic
    const wallPassedMs = clock.now() - wall
    elapsedMs += wallPassedMs - passedMs > SUSPENDED_MS ? wallPassedMs : passedMs
    monotonic += passedMs
    wall += wallPassedMs
    return elapsedMs
  }
}
