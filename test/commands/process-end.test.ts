import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'tap'

const SOURCE = join(import.meta.dirname, '../../src')

/** Runs a small program of its own, whose output is log lines. */
function runProgram(body: string) {
  const program = `
    import { createLogger } from ${JSON.stringify(join(SOURCE, 'telemetry/log.ts'))}
    import { endOnUncaughtFault } from ${JSON.stringify(join(SOURCE, 'commands/cli/process-end.ts'))}
    endOnUncaughtFault(createLogger('info'))
    setInterval(() => undefined, 1_000)
    ${body}`
  const args = ['--input-type=module', '--eval', program]
  const { status, stdout } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status, line: JSON.parse(stdout.trim()) as Record<string, unknown> }
}

for (const [what, body] of [
  ['an error that nobody caught', "setImmediate(() => { throw new TypeError('a bug') })"],
  ['a promise that nobody caught', "void Promise.reject(new TypeError('a bug'))"],
] as const) {
  void test(`${what} is logged with its cause and ends the process with 1`, async (t) => {
    const { status, line } = runProgram(body)
    t.equal(status, 1)
    t.match(line, {
      level: 'fatal',
      msg: 'uncaught fault; ending',
      err: { type: 'TypeError', message: 'a bug', stack: /TypeError: a bug/ },
    })
  })
}
