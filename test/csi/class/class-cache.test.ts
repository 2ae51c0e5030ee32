import { test } from 'tap'
import { ClassCache } from '../../../src/csi/class/class-cache.ts'
import { TextBudget } from '../../../src/csi/text-budget.ts'
import { HandClock } from '../../fakes/clock.ts'

const MIB = 1024 * 1024

function parameters(index: number) {
  const ciphertext = `vault:v1:${'QUJD'.repeat(2_560)}`
  const path = `file-${String(index)}`
  return {
    role: 'web',
    objects: JSON.stringify([{ path, type: 'decrypt', key: 'app', ciphertext }]),
  }
}

void test('parsed classes are cached up to a number of bytes, and while they are used', async (t) => {
  const clock = new HandClock()
  const cache = new ClassCache(clock)
  await clock.advance(1)
  const first = await cache.parse(parameters(0), 'shop')
  t.equal(await cache.parse(parameters(0), 'shop'), first)
  for (let index = 1; index < 1_000; index += 1) await cache.parse(parameters(index), 'shop')
  t.ok(cache.bytes > 4 * MIB && cache.bytes <= 8 * MIB)
  t.not(await cache.parse(parameters(0), 'shop'), first, 'the oldest one made room')
  await clock.advance(5 * 60_000 + 1)
  await cache.parse(parameters(0), 'shop')
  t.ok(cache.bytes < MIB, 'what is no longer asked for is gone')
})

void test('an invalid class is refused with the same message each time', async (t) => {
  const cache = new ClassCache(new HandClock())
  const refuse = () => cache.parse({ role: 'web', objects: 'x' }, 'shop')
  const expected = { code: 'CLASS_INVALID', message: /objects: must be a list, not text/ }
  await t.rejects(refuse(), expected)
  await t.rejects(refuse(), expected)
})

void test('other work runs while a class is parsed, and a class that is asked for twice is parsed once', async (t) => {
  const cache = new ClassCache(new HandClock())
  let turns = 0
  let isDone = false
  const count = () => {
    turns += 1
    if (!isDone) setImmediate(count)
  }
  setImmediate(count)
  const [one, two] = await Promise.all([
    cache.parse(parameters(1), 'shop'),
    cache.parse(parameters(1), 'shop'),
  ])
  isDone = true
  t.equal(one, two)
  t.ok(turns >= 2, 'between the parts of the parser')
})

void test('many classes of one namespace are parsed in turns with those of another', async (t) => {
  const cache = new ClassCache(new HandClock())
  const order: string[] = []
  const parse = async (index: number, owner: string) => {
    await cache.parse(parameters(index), owner)
    order.push(owner)
  }
  const greedy = [0, 1, 2, 3].map((index) => parse(index, 'greedy'))
  await Promise.all([...greedy, parse(4, 'modest')])
  t.same(order, ['greedy', 'greedy', 'modest', 'greedy', 'greedy'])
})

void test('requests in progress hold a limited number of bytes, and one namespace does not exclude others', async (t) => {
  const budget = new TextBudget()
  const first = Promise.withResolvers<string>()
  const running = budget.run('greedy', 2 * MIB, () => first.promise)
  await t.rejects(
    budget.run('greedy', 1, () => Promise.resolve('never')),
    { code: 'OVERLOADED', message: /namespace greedy hold too much .* may hold 4 MiB\)/ },
  )
  t.equal(await budget.run('modest', 1 * MIB, () => Promise.resolve('small')), 'small')
  await t.rejects(
    budget.run('large', 1.5 * MIB, () => Promise.resolve('never')),
    { code: 'OVERLOADED' },
  )
  first.resolve('large')
  t.equal(await running, 'large')
  t.equal(await budget.run('large', 2 * MIB, () => Promise.resolve('large')), 'large')
})

void test('small requests of one namespace are never all that may be in progress', async (t) => {
  const budget = new TextBudget()
  const end = Promise.withResolvers<void>()
  const greedy = Array.from({ length: 512 }, () => budget.run('greedy', 1, () => end.promise))
  const refused = Promise.allSettled(greedy)
  t.equal(await budget.run('modest', 1, () => Promise.resolve('served')), 'served')
  end.resolve()
  t.equal((await refused).filter(({ status }) => status === 'rejected').length, 256)
})
