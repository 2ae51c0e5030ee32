import { gunzipSync } from 'node:zlib'
import { Counter, Gauge, Registry } from 'prom-client'
import { test } from 'tap'
import { createMetricsRenderer } from '../../../src/telemetry/metrics/text.ts'
import { HandClock } from '../../fakes/clock.ts'

const TEXT = { format: 'text', gzip: false } as const

function fixture() {
  const clock = new HandClock()
  const registry = new Registry()
  const registers = [registry]
  const gauge = new Gauge({ name: 'scrapes', help: 'h', registers })
  const counter = new Counter({ name: 'calls_total', help: 'calls_total in all', registers })
  counter.inc(2)
  let fails = false
  const renderBody = createMetricsRenderer(registry, clock, () => {
    if (fails) throw new Error('a gauge failed')
    gauge.inc()
  })
  const render = async () => (await renderBody(TEXT)).body.toString()
  return { clock, render, renderBody, fail: (now: boolean) => void (fails = now) }
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
  await t.rejects(render(), /a gauge failed/)
  fail(false)
  t.equal(count(await render()), 1)
})

void test('OpenMetrics: counters lose the suffix of their family, and the text has an end', async (t) => {
  const { render, renderBody } = fixture()
  const { contentType, body } = await renderBody({ format: 'openMetrics', gzip: false })
  t.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  t.equal(
    body.toString(),
    [
      '# HELP scrapes h',
      '# TYPE scrapes gauge',
      'scrapes 1',
      '# HELP calls calls_total in all',
      '# TYPE calls counter',
      'calls_total 2',
      '# EOF',
      '',
    ].join('\n'),
  )
  t.match(await render(), /# TYPE calls_total counter/, 'the other format stays as it was')
})

void test('both formats can be compressed', async (t) => {
  const { renderBody } = fixture()
  for (const format of ['text', 'openMetrics'] as const) {
    const { body: plain } = await renderBody({ format, gzip: false })
    const { body } = await renderBody({ format, gzip: true })
    t.equal(gunzipSync(body).toString(), plain.toString(), format)
  }
})
