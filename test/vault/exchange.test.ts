import type { Dispatcher } from 'undici'
import { test } from 'tap'
import type { RawAnswer } from '../../src/vault/client/answer.ts'
import { AttemptFailure } from '../../src/vault/client/attempt.ts'
import { Exchange } from '../../src/vault/client/exchange.ts'
import { HandClock } from '../fakes/clock.ts'

const controller = { abort: () => undefined } as unknown as Dispatcher.DispatchController

/** An exchange whose events come from the test instead of undici, so that the test can look into its buffers. */
function exchangeFixture() {
  const clock = new HandClock()
  const results: (RawAnswer | AttemptFailure)[] = []
  const attempt = {
    request: { operation: 'read_key', method: 'GET', path: 'transit/keys/k' },
    context: { deadline: 60_000 },
    endsAt: 1_000,
  } as const
  const exchange = new Exchange(attempt, 'http://vault', clock, 1_000, (result) => {
    results.push(result)
  })
  exchange.onResponseStart(controller, 200, {})
  const chunks = ['{"data":{"na', 'me":"k"}}'].map((text) => Buffer.from(text))
  return { clock, exchange, chunks, results }
}

const isZero = (chunk: Buffer) => chunk.every((byte) => byte === 0)

void test('the buffers of a response are zeroed when its text was read', async (t) => {
  for (const count of [1, 2]) {
    const { exchange, chunks, results } = exchangeFixture()
    const sent = chunks.slice(0, count)
    const text = Buffer.concat(sent).toString()
    for (const chunk of sent) exchange.onResponseData(controller, chunk)
    exchange.onResponseEnd()
    t.match(results, [{ status: 200, text }])
    t.ok(sent.every(isZero))
  }
})

void test('the buffers of a response that comes too late are zeroed', async (t) => {
  const { clock, exchange, chunks, results } = exchangeFixture()
  const [first, second] = chunks
  if (first === undefined || second === undefined) throw new Error('no chunks')
  exchange.onResponseData(controller, first)
  await clock.advance(1_000)
  t.ok(results[0] instanceof AttemptFailure)
  exchange.onResponseData(controller, second)
  t.ok(chunks.every(isZero))
})
