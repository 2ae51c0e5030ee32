import { spawnSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'tap'

import { askAtTerminal } from '../../src/commands/cli/confirm.ts'

function makePrompt(isTTY: boolean) {
  return Object.assign(new EventEmitter(), {
    stdin: Object.assign(new PassThrough(), { isTTY }),
    stderr: Object.assign(new PassThrough(), { isTTY }),
  })
}

void test('only y or yes confirms', async (t) => {
  const rows = [
    ['y\n', true],
    [' YES \n', true],
    ['\n', false],
    ['yess\n', false],
    ['no\n', false],
  ] as const
  for (const [typed, wanted] of rows) {
    const prompt = makePrompt(true)
    const answer = askAtTerminal(prompt)?.('Apply?')
    prompt.stdin.write(typed)
    t.equal(await answer, wanted, JSON.stringify(typed))
    t.match(String(prompt.stderr.read()), /Apply\? \[y\/N\] /)
  }
})

void test('the end of the input does not confirm', async (t) => {
  const prompt = makePrompt(true)
  const answer = askAtTerminal(prompt)?.('Apply?')
  prompt.stdin.end()
  t.equal(await answer, false)
})

void test('Ctrl-C ends the question, and a y typed afterwards confirms nothing', async (t) => {
  const prompt = makePrompt(true)
  const answer = askAtTerminal(prompt)?.('Apply?') ?? Promise.resolve(true)
  prompt.emit('SIGINT')
  prompt.stdin.write('y\n')
  await t.rejects(answer, { code: 'CANCELLED', message: /this step changed nothing/ })
  t.equal(prompt.listenerCount('SIGINT'), 0, 'and leaves no listener behind')
})

void test('without a terminal there is no question', async (t) => {
  t.equal(askAtTerminal(makePrompt(false)), undefined)
})

/** Types Ctrl-C at the question and y after it, on a real pseudo-terminal; prints what the program wrote. */
const TYPE_AT_QUESTION = `
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
output = b''
while True:
    try:
        chunk = os.read(terminal, 4096)
    except OSError:
        break
    if not chunk:
        break
    if b'[y/N]' not in output and b'[y/N]' in output + chunk:
        os.write(terminal, b'\\x03')
        os.write(terminal, b'y\\n')
    output += chunk
sys.stdout.buffer.write(output)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`

void test('Ctrl-C at a question ends the command, and a y typed after it does nothing', (t) => {
  const folder = join(import.meta.dirname, '../../src/commands/cli')
  const program = `
    import { askAtTerminal } from ${JSON.stringify(join(folder, 'confirm.ts'))}
    import { untilInterrupted } from ${JSON.stringify(join(folder, 'interruption.ts'))}
    const ask = askAtTerminal()
    untilInterrupted(() => ask('Apply?')).then(
      (yes) => console.log(yes ? 'applied' : 'declined'),
      (error) => { console.log(error.code); process.exitCode = 1 },
    )`
  const args = [process.execPath, '--input-type=module', '--eval', program]
  const { status, stdout } = spawnSync('python3', ['-c', TYPE_AT_QUESTION, ...args], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  t.equal(status, 1)
  t.match(stdout, /Apply\? \[y\/N\] [^]*CANCELLED/)
  t.notMatch(stdout, /applied/)
  t.end()
})
