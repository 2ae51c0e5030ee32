import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { createMetrics } from '../../src/telemetry/metrics.ts'

interface Described {
  readonly name: string
  readonly type: string
  readonly labels: string
}

/** The rows of the table in docs/metrics.md. */
function documented(): Described[] {
  const text = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8')
  return text.split('\n').flatMap((line) => {
    const [, name = '', type = '', labels = '', meaning = '', lookFor = ''] = line
      .split('|')
      .map((cell) => cell.trim())
    if (!name.startsWith('`transit_bridge_')) return []
    if (meaning === '' || lookFor === '') throw new Error(`${name} has an empty cell`)
    return { name: name.replaceAll('`', ''), type, labels: labels.replaceAll('`', '') }
  })
}

/** What the program really registers. */
function registered(): Described[] {
  return createMetrics('test')
    .registry.getMetricsAsArray()
    .filter(({ name }) => name.startsWith('transit_bridge_'))
    .map((metric) => {
      const { labelNames = [] } = metric as { labelNames?: readonly string[] }
      return {
        name: metric.name,
        type: metric.constructor.name.toLowerCase(),
        labels: labelNames.join(', '),
      }
    })
}

const byName = (one: Described, other: Described) => (one.name < other.name ? -1 : 1)

void test('docs/metrics.md names every metric with its type and labels, and no other', (t) => {
  t.ok(registered().length > 10)
  t.same(documented().toSorted(byName), registered().toSorted(byName))
  t.end()
})

void test('names follow the rules of Prometheus: base units, _total for counters', (t) => {
  for (const { name, type } of registered()) {
    t.match(name, /^[a-z][a-z0-9_]*$/)
    t.equal(name.endsWith('_total'), type === 'counter', name)
    t.notMatch(name, /_(ms|milliseconds|minutes)(_|$)/)
  }
  t.end()
})

void test('the text names the program and the Node that runs', async (t) => {
  const text = await createMetrics('1.2.3').registry.metrics()
  t.match(text, `transit_bridge_build_info{version="1.2.3",node="${process.versions.node}"} 1`)
  t.match(text, /^process_cpu_seconds_total /m)
  t.end()
})
