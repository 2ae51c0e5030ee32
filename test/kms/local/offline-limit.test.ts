import { test } from 'tap'

import { OfflineLimit } from '../../../src/kms/local/offline-limit.ts'
import { HandClock } from '../../fakes/clock.ts'

const HOUR = 3_600_000

function limitOf4Hours() {
  const clock = new HandClock()
  const events: string[] = []
  const limit = new OfflineLimit({
    offlineForMs: 4 * HOUR,
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
