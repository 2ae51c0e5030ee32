import { test } from 'tap'
import { Availability } from './availability.ts'
import { Tally } from './tally.ts'

/** A direct call each 100 ms, which takes no time. */
function probe(node: number, from: number, to: number, isOk = true) {
  const count = Math.floor((to - from) / 100) + 1
  return Array.from({ length: count }, (_, index) => {
    const at = from + index * 100
    return { node, from: at, to: at, isOk }
  })
}

void test('the longest outage is the time in which no node served', (t) => {
  const lines = [...probe(0, 0, 2_000), ...probe(1, 1_000, 1_500), ...probe(1, 4_500, 6_000)]
  t.equal(new Availability(lines).longestOutageMs, 2_500)
  t.end()
})

void test('a call could succeed if one node served for a second before its deadline', (t) => {
  const vault = new Availability([
    ...probe(0, 0, 900),
    ...probe(0, 1_000, 5_000, false),
    ...probe(1, 2_000, 5_000),
  ])
  t.equal(vault.allowedSuccess(0, 2_900), false, 'neither one for a whole second')
  t.equal(vault.allowedSuccess(0, 3_000), true)
  t.equal(vault.allowedSuccess(4_100, 7_000), false)
  t.end()
})

void test('failed calls are counted, and the longest gap of each kind', async (t) => {
  const tally = new Tally()
  await tally.count('encrypt', 3_000, () => Promise.resolve())
  await tally.count('decrypt', 3_000, () => Promise.reject(new Error('an outage')))
  t.equal(tally.calls, 2)
  t.match(tally.failed, [{ kind: 'decrypt', fault: /an outage/ }])
  const [call] = tally.failed
  const from = call?.from ?? 0
  t.equal(tally.avoidable(new Availability(probe(0, from, from + 2_000))).length, 1)
  t.equal(tally.avoidable(new Availability(probe(0, from - 2_000, from))).length, 0)
  t.ok(tally.longestGapMs >= 0)
})
