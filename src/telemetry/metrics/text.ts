import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Registry } from 'prom-client'
import type { Clock } from '../../time/clock.ts'
import { toOpenMetrics } from './open-metrics.ts'

/** One rendering serves every scrape within this time, so that many scrapers cost no more than one. */
const MAX_AGE_MS = 1_000
const CONTENT_TYPES = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openMetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
} as const

/** What a client accepts. */
export interface MetricsRequest {
  readonly format: keyof typeof CONTENT_TYPES
  readonly gzip: boolean
}

export interface MetricsBody {
  readonly contentType: string
  readonly body: Buffer
}

export type MetricsRenderer = (request: MetricsRequest) => Promise<MetricsBody>

const compress = promisify(gzip)

/**
 * Renders the registry's text. `update` sets the gauges that are only true at the moment of a scrape.
 */
export function createMetricsRenderer(
  registry: Registry,
  clock: Clock,
  update: () => void,
): MetricsRenderer {
  let bodies = new Map<string, Promise<Buffer>>()
  let renderedAt = -Infinity
  const keep = (name: string, make: () => Promise<Buffer>) => {
    const known = bodies.get(name) ?? make()
    bodies.set(name, known)
    return known
  }
  return async (request) => {
    const { format } = request
    const now = clock.monotonic()
    if (now - renderedAt > MAX_AGE_MS) {
      update()
      renderedAt = now
      bodies = new Map()
    }
    const text = () => keep('text', async () => Buffer.from(await registry.metrics()))
    const plain = () =>
      format === 'text'
        ? text()
        : keep(format, async () => Buffer.from(toOpenMetrics((await text()).toString())))
    const body = request.gzip
      ? await keep(`${format} gzip`, async () => compress(await plain()))
      : await plain()
    return { contentType: CONTENT_TYPES[format], body }
  }
}
