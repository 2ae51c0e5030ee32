import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { MAX_CACHE_ENTRIES } from '../../src/config/schema/kms-section.ts'
import { PROGRAM } from '../commands/program.ts'

/** The options with which bin/transit-bridge starts Node.js. */
async function launcherOptions(): Promise<string[]> {
  const text = await readFile(PROGRAM, 'utf8')
  const line = text.split('\n').find((each) => each.startsWith('exec "$node"')) ?? ''
  return line.split(' ').filter((word) => word.startsWith('--max-'))
}

void test('the largest decrypt cache that a configuration allows fits the heap of bin/transit-bridge', async (t) => {
  const options = await launcherOptions()
  const heapMiB = Number(/--max-old-space-size=(\d+)/.exec(options.join(' '))?.[1])
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...options,
    '--expose-gc',
    join(import.meta.dirname, 'fill-decrypt-cache.ts'),
    String(MAX_CACHE_ENTRIES),
    String(3 * MAX_CACHE_ENTRIES),
  ])
  const { size, heapBytes } = JSON.parse(stdout) as { size: number; heapBytes: number }
  t.equal(size, MAX_CACHE_ENTRIES)
  t.comment(`${String(size)} entries take ${String(Math.round(heapBytes / 2 ** 20))} MiB`)
  // The program itself takes some 30 MiB with all its calls in progress.
  t.ok(heapBytes < (heapMiB / 3) * 2 ** 20, `${String(heapBytes)} bytes of ${String(heapMiB)} MiB`)
})
