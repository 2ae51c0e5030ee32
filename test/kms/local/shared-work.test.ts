import { test } from 'tap'

import type { CallContext } from '../../../src/call-context.ts'
import type { ErrorCode } from '../../../src/errors.ts'
import { SharedWork } from '../../../src/kms/local/shared-work.ts'
import { HandClock } from '../../fakes/clock.ts'
import { OpenCall } from '../../fakes/scripted-vault.ts'

/** Work for one id, which the test ends by hand. */
function fixture() {
  const clock = new HandClock()
  const work = new SharedWork<string>(clock)
  const started: OpenCall<undefined, string>[] = []
  /** Starts a call with this much time; returns how it ended, if it did. */
  const call = (milliseconds: number, more: Partial<CallContext> = {}) => {
    const state: { ended?: string } = {}
    const context = { deadline: clock.monotonic() + milliseconds, ...more }
    const result = work.run('key', context, (deadline) => {
      const open = new OpenCall<undefined, string>(undefined, { deadline })
      started.push(open)
      return open.result
    })
    result.then(
      (answer) => void (state.ended = answer),
      ({ code }: { code: ErrorCode }) => void (state.ended = code),
    )
    return state
  }
  const deadlines = () => started.map(({ context }) => context.deadline)
  return { clock, work, started, call, deadlines }
}

void test('concurrent calls share work, and each gives up at its own deadline', async (t) => {
  const { clock, work, started, call } = fixture()
  const [short, long] = [call(1_000), call(3_000)]
  await clock.advance(1_000)
  t.same([short.ended, long.ended], ['DEADLINE_EXCEEDED', undefined])
  await started[0]?.answer('done')
  t.equal(long.ended, 'done')
  t.equal(started.length, 1)
  t.equal(work.size, 0)
})

void test('work lasts at least eight seconds, and as long as the call that started it', async (t) => {
  const { clock, started, call, deadlines } = fixture()
  call(3_000)
  await started[0]?.answer('done')
  call(20_000)
  t.same(deadlines(), [8_000, 20_000])
  t.equal(clock.monotonic(), 0)
})

void test('work that had less time than a call that joined it is started again for that call', async (t) => {
  for (const code of ['DEADLINE_EXCEEDED', 'VAULT_UNREACHABLE'] as const) {
    const { clock, started, call, deadlines } = fixture()
    const first = call(3_000)
    await clock.advance(7_000)
    const late = [call(3_000), call(500), call(4_000)]
    await clock.advance(1_000)
    await started[0]?.fail(code)
    t.same(
      [first, ...late].map(({ ended }) => ended),
      ['DEADLINE_EXCEEDED', undefined, 'DEADLINE_EXCEEDED', undefined],
    )
    t.same(deadlines(), [8_000, 16_000], 'once for all')
    await started[1]?.answer('done')
    t.same([late[0]?.ended, late[2]?.ended], ['done', 'done'])
  }
})

void test('a refusal, and an outage for a call that had no more time, are not tried again', async (t) => {
  const { clock, started, call } = fixture()
  const states = [call(3_000), call(10_000)]
  await started[0]?.fail('VAULT_DENIED')
  t.same(states, [{ ended: 'VAULT_DENIED' }, { ended: 'VAULT_DENIED' }])
  const later = [call(3_000), call(8_000)]
  await started[1]?.fail('VAULT_UNREACHABLE')
  t.same(later, [{ ended: 'VAULT_UNREACHABLE' }, { ended: 'VAULT_UNREACHABLE' }])
  t.equal(started.length, 2)
  t.equal(clock.pending, 0)
})

void test('a call whose caller disconnects ends at once, and the others do not', async (t) => {
  const { started, call } = fixture()
  const caller = new AbortController()
  const [gone, other] = [call(3_000, { signal: caller.signal }), call(3_000)]
  caller.abort()
  await started[0]?.answer('done')
  t.same([gone.ended, other.ended], ['CANCELLED', 'done'])
})
