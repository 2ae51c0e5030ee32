import { Histogram, Registry } from 'prom-client'
import { test } from 'tap'
import { CallDurations } from '../../../src/telemetry/metrics/call-durations.ts'

function fixture() {
  const registry = new Registry()
  const histogram = new Histogram({
    name: 'call_seconds',
    help: 'h',
    labelNames: ['method', 'code'],
    buckets: [0.1, 1],
    registers: [registry],
  })
  const durations = new CallDurations(histogram)
  const lines = async () => {
    durations.flush()
    const text = await registry.metrics()
    return text.split('\n').filter((line) => line.startsWith('call_seconds'))
  }
  return { durations, lines }
}

void test('durations are counted by method and status, each in its bucket', async (t) => {
  const { durations, lines } = fixture()
  durations.add('Encrypt', 'OK', 0.25)
  durations.add('Encrypt', 'OK', 0.0625)
  durations.add('Decrypt', 'OK', 0.5)
  durations.add('Decrypt', 'UNAVAILABLE', 3)
  t.same(await lines(), [
    'call_seconds_bucket{le="0.1",method="Encrypt",code="OK"} 1',
    'call_seconds_bucket{le="1",method="Encrypt",code="OK"} 2',
    'call_seconds_bucket{le="+Inf",method="Encrypt",code="OK"} 2',
    'call_seconds_sum{method="Encrypt",code="OK"} 0.3125',
    'call_seconds_count{method="Encrypt",code="OK"} 2',
    'call_seconds_bucket{le="0.1",method="Decrypt",code="OK"} 0',
    'call_seconds_bucket{le="1",method="Decrypt",code="OK"} 1',
    'call_seconds_bucket{le="+Inf",method="Decrypt",code="OK"} 1',
    'call_seconds_sum{method="Decrypt",code="OK"} 0.5',
    'call_seconds_count{method="Decrypt",code="OK"} 1',
    'call_seconds_bucket{le="0.1",method="Decrypt",code="UNAVAILABLE"} 0',
    'call_seconds_bucket{le="1",method="Decrypt",code="UNAVAILABLE"} 0',
    'call_seconds_bucket{le="+Inf",method="Decrypt",code="UNAVAILABLE"} 1',
    'call_seconds_sum{method="Decrypt",code="UNAVAILABLE"} 3',
    'call_seconds_count{method="Decrypt",code="UNAVAILABLE"} 1',
  ])
})

void test('no duration is lost or counted twice, however many there are between two scrapes', async (t) => {
  const { durations, lines } = fixture()
  let all = 0
  for (const calls of [0, 1, 63, 64, 65, 1000]) {
    for (let call = 0; call < calls; call += 1) durations.add('Status', 'OK', 0.5)
    all += calls
    const expected = all === 0 ? [] : [`call_seconds_count{method="Status",code="OK"} ${all}`]
    t.same(
      (await lines()).filter((line) => line.includes('_count')),
      expected,
    )
  }
})
