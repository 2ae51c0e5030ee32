import { end, test } from 'tap'
import { SOAK_FAULTS } from './catalog.ts'
import { FAULTS } from '../../faults/faults.ts'
import { MEMBER_NAMES } from '../members/member.ts'
import { makePlan, usesOf, type Episode } from './plan.ts'
import { Plaintexts, Random } from '../random.ts'

const HOUR_MS = 3_600_000

function planOf(seed: string, durationMs = HOUR_MS): readonly Episode[] {
  return makePlan(SOAK_FAULTS, { random: new Random(seed), durationMs })
}

void test('the same seed makes the same numbers, plaintexts and plan, and another seed makes others', (t) => {
  const numbers = (seed: string) => {
    const random = new Random(seed).fork('part')
    return Array.from({ length: 8 }, () => random.between(0, 1_000_000))
  }
  t.same(numbers('one'), numbers('one'))
  t.notSame(numbers('one'), numbers('other'))
  t.same(new Plaintexts('one').make(7), new Plaintexts('one').make(7))
  t.notSame(new Plaintexts('one').make(7), new Plaintexts('one').make(8))
  t.same(planOf('one'), planOf('one'))
  t.notSame(planOf('one'), planOf('other'))
  t.end()
})

void test('what a part of a run draws does not change the numbers of another part', (t) => {
  const random = new Random('one')
  const before = random.fork('faults').next()
  random.fork('load').next()
  random.next()
  t.equal(random.fork('faults').next(), before)
  t.end()
})

void test('an hour contains every kind of fault, at every kind of program that it can concern', (t) => {
  const planned = planOf('one').flatMap(({ faults }) => faults)
  const missing = SOAK_FAULTS.filter(({ name }) => !planned.some(({ kind }) => kind === name))
  t.same(missing, [])
  t.same(new Set(planned.flatMap(({ members }) => members)), new Set(MEMBER_NAMES))
  t.end()
})

void test('faults that overlap do not use the same thing of the same program', (t) => {
  for (const { faults } of planOf('two')) {
    const uses = faults.flatMap(({ kind, members }) => {
      const fault = SOAK_FAULTS.find(({ name }) => name === kind)
      return fault === undefined ? [] : usesOf(fault, members)
    })
    if (new Set(uses).size !== uses.length) t.fail(uses.join(', '))
  }
  t.end()
})

void test('in the last part of a run no program ends, so that its memory can be judged', (t) => {
  const plan = planOf('three')
  const ends = new Set(SOAK_FAULTS.filter(({ endsProgram }) => endsProgram).map(({ name }) => name))
  const endsProgram = ({ faults }: Episode) => faults.some(({ kind }) => ends.has(kind))
  t.ok(plan.some(endsProgram))
  t.notOk(plan.slice(-Math.floor(plan.length / 3)).some(endsProgram))
  t.end()
})

void test('the faults of the matrix at the proxy are faults of the soak', (t) => {
  const names = new Set(SOAK_FAULTS.map(({ name }) => name))
  t.equal(names.size, SOAK_FAULTS.length, 'no name comes twice')
  const atProxy = FAULTS.filter(({ surroundings }) => surroundings === 'proxy')
  t.same(
    atProxy.filter(({ name }) => !names.has(name)),
    [],
  )
  t.end()
})

end()
