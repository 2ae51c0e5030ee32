import type { Registry } from 'prom-client'
import type { Clock } from '../time/clock.ts'

/** One rendering serves every scrape within this time, so that many scrapers cost no more than one. */
const MAX_AGE = 1_000

/**
 * Renders the registry's text. `update` sets the gauges that are only true at the moment of a scrape.
 */
export function createMetricsRenderer(
  registry: Registry,
  clock: Clock,
  update: () => void,
): () => Promise<string> {
  let latest: Promise<string> | undefined
  let renderedAt = -Infinity
  return () => {
    const now = clock.monotonic()
    if (latest === undefined || now - renderedAt > MAX_AGE) {
      renderedAt = now
      update()
      latest = registry.metrics()
    }
    return latest
  }
}
