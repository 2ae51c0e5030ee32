/**
 * Converts prom-client's text to OpenMetrics 1.0, in which the family of a counter has no suffix, no line is empty, and the
 * text has an end (https://github.com/prometheus/OpenMetrics, "Text format"). prom-client can write it, too, but only
 * by renaming the counters of the registry permanently.
 */
export function toOpenMetrics(text: string): string {
  const counters = new Set(
    [...text.matchAll(/^# TYPE (\w+)_total counter$/gm)].map(([, family]) => `${family}_total`),
  )
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => shortenFamily(line, counters))
  return `${lines.join('\n')}\n# EOF\n`
}

function shortenFamily(line: string, counters: ReadonlySet<string>): string {
  const [, keyword, name = '', rest] = /^# (HELP|TYPE) (\w+) (.*)$/.exec(line) ?? []
  if (!counters.has(name)) return line
  return `# ${String(keyword)} ${name.replace(/_total$/, '')} ${String(rest)}`
}
