import { test } from 'tap'

import { describeMoreMinutes, describeMoreTime } from '../../src/time/duration.ts'

void test('the time that is left is in one unit, and rounded down', (t) => {
  for (const [milliseconds, words] of [
    [-1, '0 more seconds'],
    [1_999, '1 more second'],
    [119_999, '119 more seconds'],
    [59.9 * 60_000, '59 more minutes'],
    [25 * 3_600_000, '25 more hours'],
    [48 * 3_600_000, '2 more days'],
  ] as const)
    t.equal(describeMoreTime(milliseconds), words)
  t.end()
})

void test('the minutes that are left are not rounded to hours, and the last two are in seconds', (t) => {
  for (const [milliseconds, words] of [
    [0, '0 more seconds'],
    [119_999, '119 more seconds'],
    [120_000, '2 more minutes'],
    [239.9 * 60_000, '239 more minutes'],
    [72 * 3_600_000, '4,320 more minutes'],
  ] as const)
    t.equal(describeMoreMinutes(milliseconds), words)
  t.end()
})
