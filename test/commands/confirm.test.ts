import { spawnSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
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
    await once(prompt.stderr, 'readable')
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
  await once(prompt.stderr, 'readable')
  prompt.emit('SIGINT')
  prompt.stdin.write('y\n')
  await t.rejects(answer, { code: 'CANCELLED', message: /this step changed nothing/ })
  t.equal(prompt.listenerCount('SIGINT'), 0, 'and leaves no listener behind')
})

void test('what was typed before the question does not answer it, and Ctrl-C before it ends it', async (t) => {
  const prompt = makePrompt(true)
  prompt.stdin.write('y\n')
  const answer = askAtTerminal(prompt)?.('Apply?')
  await once(prompt.stderr, 'readable')
  prompt.stdin.write('\n')
  t.equal(await answer, false)
  prompt.stdin.write('\x03')
  const interrupted = askAtTerminal(prompt)?.('Apply?') ?? Promise.resolve(true)
  await t.rejects(interrupted, { code: 'CANCELLED' })
})

void test('without a terminal there is no question', async (t) => {
  t.equal(askAtTerminal(makePrompt(false)), undefined)
})

/** Types the first two arguments before and at the question, on a real pseudo-terminal; prints what the program wrote. */
const TYPE_AT_QUESTION = `
import os, pty, sys
before, at = (each.encode().decode('unicode_escape').encode() for each in sys.argv[1:3])
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[3], sys.argv[3:])
os.write(terminal, before)
output = b''
while True:
    try:
        chunk = os.read(terminal, 4096)
    except OSError:
        break
    if not chunk:
        break
    if b'[y/N]' not in output and b'[y/N]' in output + chunk:
        os.write(terminal, at)
    output += chunk
sys.stdout.buffer.write(output)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`

/** Runs a command that only asks, with what a person types before the question and at it. */
function typeAt(before: string, at: string) {
  const folder = join(import.meta.dirname, '../../src/commands/cli')
  const program = `
    import { askAtTerminal } from ${JSON.stringify(join(folder, 'confirm.ts'))}
    import { untilInterrupted } from ${JSON.stringify(join(folder, 'process/interruption.ts'))}
    const ask = askAtTerminal()
    untilInterrupted(() => ask('Apply?')).then(
      (yes) => console.log(yes ? 'applied' : 'declined'),
      (error) => { console.log(error.code); process.exitCode = 1 },
    )`
  const args = [before, at, process.execPath, '--input-type=module', '--eval', program]
  return spawnSync('python3', ['-c', TYPE_AT_QUESTION, ...args], {
    encoding: 'utf8',
    timeout: 30_000,
  })
}

void test('Ctrl-C at a question ends the command, and a y typed after it does nothing', (t) => {
  const { status, stdout } = typeAt('', String.raw`\x03y\n`)
  t.equal(status, 1)
  t.match(stdout, /Apply\? \[y\/N\] [^]*CANCELLED/)
  t.notMatch(stdout, /applied/)
  t.end()
})

void test('at a terminal, what is typed ahead answers nothing, with or without Enter', (t) => {
  for (const ahead of [String.raw`y\n`, 'y', String.raw`y\ny\ny`]) {
    const { status, stdout } = typeAt(ahead, String.raw`\n`)
    t.equal(status, 0)
    t.match(stdout, /declined/, ahead)
  }
  t.match(typeAt(String.raw`n\n`, String.raw`y\n`).stdout, /applied/)
  t.end()
})
