import { equal, ok } from 'node:assert/strict'
import fc from 'fast-check'

import { timeBetween, type Moment } from '../../src/time/boot-time.ts'
import type { Clock } from '../../src/time/clock.ts'
import { durationPattern } from '../../src/time/duration-pattern.ts'
import { describeDuration, formatDuration, parseDuration, UNITS } from '../../src/time/duration.ts'
import { elapsedTime } from '../../src/time/elapsed-time.ts'
import { holds } from '../property.ts'

const unit = fc.constantFrom(...(Object.keys(UNITS) as (keyof typeof UNITS)[]))
const amount = fc.oneof(fc.integer({ min: 0, max: 130 }), fc.integer({ min: 0, max: 999_999_999 }))

holds(
  'a duration is read as it was written, and printed exactly',
  [amount, unit],
  (count, name) => {
    const ms = count * UNITS[name]
    equal(parseDuration(`${String(count)}${name}`), ms)
    equal(parseDuration(`00${String(count)}${name}`), ms)
    const printed = formatDuration(ms)
    ok(printed.length > 10 || parseDuration(printed) === ms, printed)
    ok(/^\d+ (s|min|h|days)$/.test(describeDuration(ms)))
  },
)

const limits = ['0s', '1ms', '250ms', '1s', '30s', '90s', '5m', '1h', '36h', '7d', '400d']

holds(
  'the pattern of a JSON Schema accepts the durations between its limits, and no others',
  [
    fc.constantFrom(...limits),
    fc.option(fc.constantFrom(...limits), { nil: undefined }),
    amount,
    unit,
  ],
  (min, max, count, name) => {
    const pattern = new RegExp(durationPattern(min, max))
    const around = [min, max ?? min].map((limit) => (parseDuration(limit) ?? 0) / UNITS[name])
    const counts = [
      count,
      ...around.flatMap((each) => [Math.floor(each), Math.ceil(each), Math.floor(each) + 1]),
    ]
    for (const each of counts.filter((value) => value <= 999_999_999)) {
      const text = `${String(each)}${name}`
      const ms = parseDuration(text) ?? -1
      const isInside =
        ms >= (parseDuration(min) ?? 0) && ms <= (parseDuration(max ?? '') ?? Infinity)
      equal(pattern.test(text), isInside, `${text} in ${min} to ${String(max)}`)
    }
  },
)

/** A step: real time passes, some of it while the machine is suspended, and the wall clock may be set. */
const step = fc.record({
  awakeMs: fc.nat({ max: 5_000 }),
  suspendedMs: fc.oneof(fc.constant(0), fc.nat({ max: 10_000_000 })),
  setMs: fc.oneof(fc.constant(0), fc.integer({ min: -10_000_000, max: 10_000_000 })),
})

holds(
  'elapsed time never goes back, and is never shorter than the time awake, for a wall clock that is set in any way',
  [fc.array(step, { maxLength: 20 })],
  (steps) => {
    let [awake, wall] = [0, 1_800_000_000_000]
    const clock: Clock = {
      now: () => wall,
      monotonic: () => awake,
      after: () => () => undefined,
    }
    const elapsed = elapsedTime(clock)
    let last = 0
    let realMs = 0
    let isSet = false
    for (const { awakeMs, suspendedMs, setMs } of steps) {
      awake += awakeMs
      wall += awakeMs + suspendedMs + setMs
      realMs += awakeMs + suspendedMs
      isSet ||= setMs !== 0
      const now = elapsed()
      ok(now >= last + awakeMs, `${String(last)} to ${String(now)}`)
      last = now
      // A suspension of up to a second per reading is not recognized (elapsed-time.ts).
      if (!isSet) ok(now <= realMs && now >= realMs - steps.length * 1_000)
    }
  },
)

const moment: fc.Arbitrary<Moment> = fc.record({
  bootId: fc.constantFrom('a', 'b'),
  sinceBootMs: fc.nat({ max: 200_000 }),
  wallMs: fc.nat({ max: 200_000 }),
})

holds(
  'the time between two moments is unknown or at least 0; within a boot the wall clock has no influence',
  [moment, moment, fc.integer()],
  (earlier, later, shiftMs) => {
    const passed = timeBetween(earlier, later)
    ok(passed === undefined || passed >= 0)
    const shifted = timeBetween(earlier, { ...later, wallMs: later.wallMs + shiftMs })
    if (earlier.bootId === later.bootId) {
      equal(shifted, passed)
      const exact = later.sinceBootMs - earlier.sinceBootMs
      equal(passed, exact < 0 ? undefined : exact)
    } else {
      const exact = later.wallMs - earlier.wallMs
      equal(passed, exact < -60_000 ? undefined : Math.max(0, exact))
    }
  },
)
