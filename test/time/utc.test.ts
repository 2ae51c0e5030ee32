import { test } from 'tap'

import { formatUtc } from '../../src/time/utc.ts'

void test('a time of today has no date', (t) => {
  const now = Date.UTC(2026, 0, 1, 23, 59, 59)
  t.equal(formatUtc(now, now), '23:59:59 UTC')
  t.equal(formatUtc(now + 1_000, now), '2026-01-02 00:00:00 UTC')
  t.end()
})
