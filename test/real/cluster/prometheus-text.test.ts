import { test } from 'tap'
import { findSamples, parseMetrics } from './prometheus-text.ts'

const text = `# HELP requests Requests.
# TYPE requests counter
requests{code="200",path="/a,b{}"} 3
requests{code="500",path="say \\"no\\"\\n"} 1.5e+01 1700000000
up 1
latency_bucket{le="+Inf"} +Inf
`

void test('samples, their labels and values are read', (t) => {
  t.same(parseMetrics(text), [
    { name: 'requests', labels: { code: '200', path: '/a,b{}' }, value: 3 },
    { name: 'requests', labels: { code: '500', path: 'say "no"\n' }, value: 15 },
    { name: 'up', labels: {}, value: 1 },
    { name: 'latency_bucket', labels: { le: '+Inf' }, value: Infinity },
  ])
  t.same(
    findSamples(text, 'requests', { code: '500' }).map(({ value }) => value),
    [15],
  )
  t.end()
})
