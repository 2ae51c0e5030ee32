import { test } from 'tap'

import { OfflineLimit } from '../../../src/kms/local/offline-limit.ts'
import { HandClock } from '../../fakes/clock.ts'

const HOUR = 3_600_000

/** @param isKnown whether the last check failed, so that Vault is not asked again at an end */
function limitOf4Hours({ isKnown = true } = {}) {
  const clock = new HandClock()
  const events: string[] = []
  const limit = new OfflineLimit({
    offlineForMs: 4 * HOUR,
    askVault: () => {
      if (!isKnown) events.push('asks')
      return !isKnown
    },
    onEncryptEnd: () => void events.push('encrypts no longer'),
    onEnd: ({ why, ageMs }) => void events.push(`${why} at ${String(ageMs && ageMs / HOUR)}`),
    clock,
  })
  const ends = () => events.filter((event) => event.includes(' at ')).length
  const state = () => ({
    encrypts: limit.encryptLeftMs > 0,
    decrypts: limit.mayDecrypt,
    ends: ends(),
  })
  return { clock, limit, state, events }
}

void test('local keys may not be used before Vault agreed', (t) => {
  t.same(limitOf4Hours().state(), { encrypts: false, decrypts: false, ends: 0 })
  t.end()
})

void test('local keys encrypt for offlineFor, decrypt for a quarter longer, and are then zeroed without a call', async (t) => {
  const { clock, limit, state } = limitOf4Hours()
  limit.agree()
  await clock.advance(4 * HOUR - 1)
  t.same(state(), { encrypts: true, decrypts: true, ends: 0 })
  await clock.advance(1)
  t.same(state(), { encrypts: false, decrypts: true, ends: 0 })
  await clock.advance(HOUR - 1)
  t.same(state(), { encrypts: false, decrypts: true, ends: 0 })
  await clock.advance(1)
  t.same(state(), { encrypts: false, decrypts: false, ends: 1 })
})

void test('each agreement starts the time again, and a refusal ends it at once', async (t) => {
  const { clock, limit, state } = limitOf4Hours()
  limit.agree()
  await clock.advance(4 * HOUR - 1)
  limit.agree()
  await clock.advance(4 * HOUR - 1)
  t.same(state(), { encrypts: true, decrypts: true, ends: 0 })
  limit.refuse()
  t.same(state(), { encrypts: false, decrypts: false, ends: 1 })
  await clock.advance(10 * HOUR)
  t.equal(state().ends, 1, 'no timer is left')
})

void test('a wall clock that is set forward shortens the time, as a suspended machine does', async (t) => {
  const { clock, limit, state } = limitOf4Hours()
  limit.agree()
  clock.epoch += 4 * HOUR
  t.same(state(), { encrypts: false, decrypts: true, ends: 0 })
  clock.epoch += HOUR
  t.match(state(), { encrypts: false, decrypts: false })
})

void test('a wall clock that is set back does not extend the time', async (t) => {
  const { clock, limit, state } = limitOf4Hours()
  limit.agree()
  clock.epoch -= 100 * HOUR
  await clock.advance(4 * HOUR)
  t.match(state(), { encrypts: false, decrypts: true })
  clock.epoch += 100 * HOUR
  t.match(state(), { encrypts: false, decrypts: false }, 'and back forward again ends it')
})

void test('each end is reported once, without a call, and also after a restart', async (t) => {
  const { clock, limit, events } = limitOf4Hours()
  limit.refuse()
  t.same(events.splice(0), ['refusal at undefined'], 'Vault had not agreed')
  limit.agree()
  await clock.advance(20 * HOUR)
  t.same(events.splice(0), ['encrypts no longer', 'time at 5'])
  limit.restore(3 * HOUR + 1_000)
  await clock.advance(HOUR - 1_001)
  t.same(events, [])
  await clock.advance(1)
  t.same(events.splice(0), ['encrypts no longer'], 'in time')
  await clock.advance(HOUR - 1)
  t.same(events, [])
  await clock.advance(1)
  t.same(events.splice(0), ['time at 5'], 'in time')
  await clock.advance(20 * HOUR)
  limit.restore(4 * HOUR)
  await clock.advance(20 * HOUR)
  t.same(events.splice(0), ['time at 5'], 'they did not encrypt after the restart')
  limit.restore(5 * HOUR)
  await clock.advance(20 * HOUR)
  t.same(events, [])
})

void test('time in which the machine was suspended is noticed within a minute', async (t) => {
  const { clock, limit, events } = limitOf4Hours()
  limit.agree()
  clock.epoch += 4 * HOUR
  await clock.advance(60_000)
  t.same(events.splice(0), ['encrypts no longer'])
  clock.epoch += HOUR
  await clock.advance(60_000)
  t.match(events, [/^time at 5\.\d+$/])
})

void test('if the last check passed, Vault is asked before local keys are zeroed, and they may not be used meanwhile', async (t) => {
  const { clock, limit, state, events } = limitOf4Hours({ isKnown: false })
  limit.agree()
  clock.epoch += 10 * HOUR
  await clock.advance(60_000)
  t.same(events.splice(0), ['asks'])
  t.same(state(), { encrypts: false, decrypts: false, ends: 0 })
  clock.epoch -= 20 * HOUR
  await clock.advance(15_999)
  t.same(state(), { encrypts: false, decrypts: false, ends: 0 }, 'nor if the clock is set back')
  await clock.advance(1)
  t.match(events.splice(0), [/^time at 10\./], 'a check that hangs does not delay the end')
  await clock.advance(20 * HOUR)
  t.same(events, [])
})

void test('if Vault agrees when it is asked, local keys are kept, and no end is reported', async (t) => {
  for (const steps of [[10], [-10, 10], [4], [-3, 7]]) {
    const { clock, limit, state, events } = limitOf4Hours({ isKnown: false })
    limit.agree()
    for (const hours of steps) {
      clock.epoch += hours * HOUR
      await clock.advance(60_000)
    }
    t.same(events.splice(0), ['asks'], String(steps))
    await clock.advance(10_000)
    limit.agree()
    t.same(state(), { encrypts: true, decrypts: true, ends: 0 }, String(steps))
    await clock.advance(4 * HOUR - 1)
    t.same(events, [], String(steps))
  }
})

void test('Vault is asked at each of the two ends', async (t) => {
  const { clock, limit, events } = limitOf4Hours({ isKnown: false })
  limit.agree()
  await clock.advance(4 * HOUR)
  t.same(events.splice(0), ['asks'])
  await clock.advance(16_000)
  t.same(events.splice(0), ['encrypts no longer'])
  await clock.advance(HOUR - 16_000)
  t.same(events.splice(0), ['asks'])
  await clock.advance(16_000)
  t.match(events, [/^time at 5\./])
})
