import { test } from 'tap'
import { ByteBudget } from '../../src/kms/byte-budget.ts'
import { HandClock, settle } from '../fakes/clock.ts'

/** A budget of 100 bytes at work and 100 waiting, with calls that the test ends by hand. */
function fixture() {
  const clock = new HandClock()
  const budget = new ByteBudget({ maxActiveBytes: 100, maxWaitingBytes: 100, clock })
  const started: string[] = []
  const call = (name: string, bytes: number, signal?: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const state = { ended: '' }
    const context = { deadline: clock.monotonic() + 1_000, ...(signal && { signal }) }
    budget
      .spend(bytes, context, () => {
        started.push(name)
        return promise
      })
      .then(
        () => void (state.ended = 'ok'),
        (error: { code: string }) => void (state.ended = error.code),
      )
    return {
      state,
      end: () => (resolve(), settle()),
      fail: () => (reject({ code: 'failed' }), settle()),
    }
  }
  return { clock, started, call }
}

void test('calls that fit start at once; others wait and start in order', async (t) => {
  const { started, call } = fixture()
  const one = call('one', 60)
  call('two', 60)
  call('three', 10)
  t.same(started, ['one'], 'three does not overtake two')
  await one.end()
  t.same(started, ['one', 'two', 'three'])
  t.equal(one.state.ended, 'ok')
})

void test('a call that fails returns its bytes', async (t) => {
  const { started, call } = fixture()
  const one = call('one', 100)
  call('two', 100)
  await one.fail()
  t.same(started, ['one', 'two'])
})

void test('a call larger than the budget runs alone', async (t) => {
  const { started, call } = fixture()
  const one = call('one', 500)
  call('two', 1)
  t.same(started, ['one'])
  await one.end()
  t.same(started, ['one', 'two'])
})

void test('a call beyond the limit for waiting calls is refused with OVERLOADED', async (t) => {
  const { started, call } = fixture()
  const one = call('one', 100)
  call('two', 60)
  const three = call('three', 41)
  await settle()
  t.equal(three.state.ended, 'OVERLOADED')
  await one.end()
  t.same(started, ['one', 'two'])
})

void test('a call that waits ends at its deadline or with its caller, and returns its bytes', async (t) => {
  const { clock, started, call } = fixture()
  const one = call('one', 100)
  const caller = new AbortController()
  const gone = call('gone', 50, caller.signal)
  const late = call('late', 50)
  caller.abort()
  await settle()
  t.equal(gone.state.ended, 'CANCELLED')
  await clock.advance(1_000)
  t.equal(late.state.ended, 'DEADLINE_EXCEEDED')
  call('next', 100)
  await one.end()
  t.same(started, ['one', 'next'])
  t.equal(clock.pending, 0)
})
