export type Sample = { name: string; labels: Record<string, string>; value: number }

const line = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/
const label = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** Reads the samples of a Prometheus text; comments and types are left out. */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = []
  for (const each of text.split('\n')) {
    if (each.startsWith('#')) continue
    const [, name, inBraces = '', value] = line.exec(each) ?? []
    if (name === undefined || value === undefined) continue
    const labels: Record<string, string> = {}
    for (const [, key, quoted] of inBraces.matchAll(label)) {
      if (key !== undefined && quoted !== undefined) labels[key] = unquoted(quoted)
    }
    samples.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) })
  }
  return samples
}

/** The samples of that name that have all these labels. */
export function findSamples(
  text: string,
  name: string,
  labels: Record<string, string> = {},
): Sample[] {
  return parseMetrics(text).filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )
}

function unquoted(text: string): string {
  return text.replace(/\\(.)/g, (_all, escaped: string) => (escaped === 'n' ? '\n' : escaped))
}
