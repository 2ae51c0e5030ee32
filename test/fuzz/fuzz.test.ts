// The corpus, and a few changed inputs, the same ones in each run. `npm run fuzz` looks for new ones.
import { after, test } from 'tap'

import { attack } from './attack.ts'
import { parseCommandLine } from './command-line.ts'
import { startTargets } from './targets.ts'

const SEED = 1
/** Besides the corpus. */
const CHANGED = 150

const { targets, subjects } = await startTargets()
after(() => Promise.all(subjects.map(({ stop }) => stop())))

for (const target of targets) {
  void test(`hostile inputs of ${target.name}: the program serves honest clients and discloses nothing`, async (t) => {
    const count = target.corpusSize + CHANGED
    const { sent, findings } = await attack(target, {
      seed: SEED,
      first: 0,
      goOn: (done) => done < count,
    })
    t.equal(sent, count)
    t.same(findings, [])
    await target.subject.resources.requireLevel(t)
  })
}

void test('the command line of a longer run: a wrong one is refused, and does not attack with nothing', (t) => {
  t.match(parseCommandLine([]), { minutes: 1, first: 0, count: Infinity })
  const one = ['--target', 'pod', '--seed', '7', '--first', '4228', '--count', '1']
  t.match(parseCommandLine(one), { target: 'pod', seed: 7, first: 4228, count: 1 })
  t.equal(parseCommandLine(['--help']), 'help')
  for (const wrong of [
    '--minutes=ten',
    '--minutes=0',
    '--seed=x',
    '--first=-1',
    '--count=0',
    'pod',
  ])
    t.throws(() => parseCommandLine([wrong]), wrong)
  t.end()
})
