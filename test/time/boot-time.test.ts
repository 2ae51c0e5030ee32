import { test } from 'tap'

import { readMoment, timeBetween } from '../../src/time/boot-time.ts'

const moment = (bootId: string, sinceBootMs: number, wallMs: number) => ({
  bootId,
  sinceBootMs,
  wallMs,
})

void test('in the same boot only the time since the boot counts', (t) => {
  const earlier = moment('a', 1_000, 50_000)
  t.equal(timeBetween(earlier, moment('a', 4_000, 50_000)), 3_000)
  t.equal(timeBetween(earlier, moment('a', 4_000, 0)), 3_000, 'a clock that was set back')
  t.equal(timeBetween(earlier, moment('a', 4_000, 9e9)), 3_000, 'a clock that was set forward')
  t.equal(
    timeBetween(earlier, moment('a', 999, 60_000)),
    undefined,
    'a container with its own time',
  )
  t.end()
})

void test('after another boot the wall clock counts, and the time is unknown if it is behind', (t) => {
  const earlier = moment('a', 1_000, 500_000)
  t.equal(timeBetween(earlier, moment('b', 10, 700_000)), 200_000)
  t.equal(timeBetween(earlier, moment('b', 10, 499_000)), 0, 'an adjustment by NTP')
  t.equal(timeBetween(earlier, moment('b', 10, 400_000)), undefined)
  t.end()
})

void test('a moment of this machine', (t) => {
  const now = readMoment()
  t.match(now.bootId, /^[0-9a-f-]{36}$/)
  t.ok(now.sinceBootMs > 0)
  t.equal(timeBetween(now, now), 0)
  t.end()
})
