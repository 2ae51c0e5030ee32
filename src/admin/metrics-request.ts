import type { MetricsRequest } from '../telemetry/metrics/text.ts'

interface Range {
  readonly name: string
  readonly quality: number
}

/**
 * The format and encoding for a scrape. OpenMetrics only if the client asks for it by name: its text is not what a
 * person expects. Parameters such as `escaping` do not matter, because all names are ASCII.
 */
export function readMetricsRequest(headers: {
  readonly accept?: string | undefined
  readonly 'accept-encoding'?: string | string[] | undefined
}): MetricsRequest {
  const types = readRanges(headers.accept)
  const openMetrics = qualityOf(types, 'application/openmetrics-text')
  const encodings = readRanges(String(headers['accept-encoding'] ?? ''))
  return {
    format:
      openMetrics > 0 && openMetrics >= qualityOf(types, 'text/plain') ? 'openMetrics' : 'text',
    gzip: qualityOf(encodings, 'gzip') > 0,
  }
}

function qualityOf(ranges: readonly Range[], name: string): number {
  return Math.max(0, ...ranges.filter((range) => range.name === name).map((range) => range.quality))
}

/** A list of RFC 9110, section 12.4.2: names with an optional weight. */
function readRanges(header = ''): Range[] {
  return header.split(',').map((part) => {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    const quality = weight === undefined ? 1 : Number(weight.slice(2))
    return { name, quality: Number.isFinite(quality) ? quality : 0 }
  })
}
