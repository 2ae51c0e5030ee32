import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'

const source = (path: string) => JSON.stringify(join(import.meta.dirname, '../../src', path))
/** A command that waits for what nothing settles. */
const SCRIPT = `
import { defineCommand } from ${source('commands/cli/command.ts')}
import { start } from ${source('start/command-line.ts')}
const command = defineCommand({
  name: 'wait', usage: [''], description: '', options: {}, exitCodes: '', examples: [],
  run: () => new Promise(() => undefined),
})
process.argv = ['node', 'transit-bridge', 'wait']
void start({ wait: { summary: '', load: () => Promise.resolve(command) } })
`

void test('a command that ends without a result has not succeeded', async (t) => {
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', SCRIPT])
  const ended = await run.catch((error: unknown) => error)
  t.match(ended, {
    code: 1,
    stdout: '',
    stderr: /^transit-bridge: internal error: the command ended without a result/,
  })
})
