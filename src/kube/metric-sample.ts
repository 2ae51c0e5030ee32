/** A line of Prometheus text. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string | undefined>>
  readonly value: number
}

/** A name is not searched for at each of its characters. */
const LABEL = /(?<!\w)([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** Parses a line; undefined if it is not a sample of this metric. */
export function readSample(line: string, metric: string): MetricSample | undefined {
  if (!line.startsWith(metric)) return undefined
  const rest = line.slice(metric.length)
  const [, inBraces = '', value] = /^(?:\{(.*)\})?\s+(\S+)/.exec(rest) ?? []
  if (value === undefined) return undefined
  const labels = Object.fromEntries(
    [...inBraces.matchAll(LABEL)].map(([, name = '', text = '']) => [name, unescapeLabel(text)]),
  )
  return { labels, value: Number(value) }
}

/**
 * Prometheus escapes backslashes, quotes and line feeds in label values (Prometheus: exposition formats, "Text format
 * details").
 */
function unescapeLabel(text: string): string {
  return text.replaceAll(/\\(.)/g, (_whole, character: string) =>
    character === 'n' ? '\n' : character,
  )
}
