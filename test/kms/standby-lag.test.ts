import { test } from 'tap'
import { pause } from '../../src/kms/standby-lag.ts'
import type { Clock } from '../../src/time/clock.ts'

/** A clock on which each timer ends at the last whole millisecond before its time, as those of Node.js may. */
function hastyClock(): Clock {
  let now = 0.5
  return {
    now: () => now,
    monotonic: () => now,
    after: (ms, run) => {
      const timer = setImmediate(() => {
        now = Math.max(Math.floor(now + ms), now + 0.25)
        run()
      })
      return () => clearImmediate(timer)
    },
  }
}

void test('a pause lasts its full time, although timers end early', async (t) => {
  const clock = hastyClock()
  const context = { deadline: Infinity }
  await pause(250, context, clock)
  t.ok(clock.monotonic() >= 250.5, String(clock.monotonic()))
  const before = clock.monotonic()
  await pause(0, context, clock)
  await pause(-1, context, clock)
  t.equal(clock.monotonic(), before)
})
