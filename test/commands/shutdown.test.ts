import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { keepMemoryOutOfCoreDumps } from '../../src/commands/cli/process/core-dump.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const SOURCE = join(import.meta.dirname, '../../src')

/** Runs a small program whose output is log lines. */
function runProgram(body: string) {
  const program = `
    import { createTelemetry } from ${JSON.stringify(join(SOURCE, 'commands/cli/telemetry.ts'))}
    import { handleShutdown } from ${JSON.stringify(join(SOURCE, 'commands/cli/process/shutdown.ts'))}
    import { createKmsMetrics } from ${JSON.stringify(join(SOURCE, 'telemetry/metrics/roles.ts'))}
    const { log, logSink } = createTelemetry('info', createKmsMetrics)
    handleShutdown(log, logSink)
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
  ['an uncaught error', "setImmediate(() => { throw new TypeError('a bug') })"],
  ['an unhandled rejection', "void Promise.reject(new TypeError('a bug'))"],
] as const) {
  void test(`${what} is logged with its cause and ends the process with 1`, async (t) => {
    const { status, line } = runProgram(body)
    t.equal(status, 1)
    t.match(line, {
      level: 'fatal',
      msg: 'uncaught error; ending',
      err: { type: 'TypeError', message: 'a bug', stack: /TypeError: a bug/ },
    })
  })
}

void test('memory is kept out of core dumps, and a host without that file is no error', async (t) => {
  const folder = tempFolder('core')
  keepMemoryOutOfCoreDumps(join(folder, 'none', 'coredump_filter'))
  const file = join(folder, 'coredump_filter')
  keepMemoryOutOfCoreDumps(file)
  t.equal(readFileSync(file, 'utf8'), '0')
})
