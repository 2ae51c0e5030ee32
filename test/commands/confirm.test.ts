import { PassThrough } from 'node:stream'
import { test } from 'tap'

import { askAtTerminal } from '../../src/commands/cli/confirm.ts'

function seat(isTTY: boolean) {
  return {
    stdin: Object.assign(new PassThrough(), { isTTY }),
    stderr: Object.assign(new PassThrough(), { isTTY }),
  }
}

void test('only a clear yes is one', async (t) => {
  const rows = [
    ['y\n', true],
    [' YES \n', true],
    ['\n', false],
    ['yess\n', false],
    ['no\n', false],
  ] as const
  for (const [typed, wanted] of rows) {
    const { stdin, stderr } = seat(true)
    const answer = askAtTerminal({ stdin, stderr })?.('Apply?')
    stdin.write(typed)
    t.equal(await answer, wanted, JSON.stringify(typed))
    t.match(String(stderr.read()), /Apply\? \[y\/N\] /)
  }
})

void test('the end of the input is a no', async (t) => {
  const { stdin, stderr } = seat(true)
  const answer = askAtTerminal({ stdin, stderr })?.('Apply?')
  stdin.end()
  t.equal(await answer, false)
})

void test('without a terminal nobody is asked', async (t) => {
  t.equal(askAtTerminal(seat(false)), undefined)
})
