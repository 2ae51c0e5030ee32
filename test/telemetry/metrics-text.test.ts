import { Gauge, Registry } from 'prom-client'
import { test } from 'tap'
import { createMetricsRenderer } from '../../src/telemetry/metrics-text.ts'
import { HandClock } from '../fakes/clock.ts'

function fixture() {
  const clock = new HandClock()
  const registry = new Registry()
  const gauge = new Gauge({ name: 'scrapes', help: 'h', registers: [registry] })
  let fails = false
  const render = createMetricsRenderer(registry, clock, () => {
    if (fails) throw new Error('a gauge failed')
    gauge.inc()
  })
  return { clock, render, fail: (now: boolean) => void (fails = now) }
}

const count = (text: string) => Number(/^scrapes (\d+)$/m.exec(text)?.[1])

void test('gauges are set at each scrape', async (t) => {
  const { clock, render } = fixture()
  t.equal(count(await render()), 1)
  await clock.advance(15_000)
  t.equal(count(await render()), 2)
})

void test('scrapes within a second share one rendering', async (t) => {
  const { clock, render } = fixture()
  const [one, two] = await Promise.all([render(), render()])
  t.equal(one, two)
  await clock.advance(1_000)
  t.equal(count(await render()), 1)
  await clock.advance(1)
  t.equal(count(await render()), 2)
})

void test('a rendering that failed is not kept', async (t) => {
  const { render, fail } = fixture()
  fail(true)
  await t.rejects(async () => render(), /a gauge failed/)
  fail(false)
  t.equal(count(await render()), 1)
})
