/** A line of Prometheus text. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string | undefined>>
  readonly value: number
}

const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** The sample of a line, if it is one of this metric. Labels of the ones that are read here hold no escapes. */
export function readSample(line: string, metric: string): MetricSample | undefined {
  if (!line.startsWith(metric)) return undefined
  const rest = line.slice(metric.length)
  const [, inBraces = '', value] = /^(?:\{(.*)\})?\s+(\S+)/.exec(rest) ?? []
  if (value === undefined) return undefined
  const labels = Object.fromEntries(
    [...inBraces.matchAll(LABEL)].map(([, name = '', text = '']) => [name, text]),
  )
  return { labels, value: Number(value) }
}
