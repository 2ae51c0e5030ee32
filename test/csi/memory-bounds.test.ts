import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { test } from 'tap'
import { PROGRAM } from '../commands/program.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

/** The options with which bin/transit-bridge starts Node.js. */
async function launcherOptions(): Promise<string[]> {
  const text = await readFile(PROGRAM, 'utf8')
  const line = text.split('\n').find((each) => each.startsWith('exec "$node"')) ?? ''
  return line.split(' ').filter((word) => word.startsWith('--max-'))
}

type Step = { heapMiB: number; [code: string]: number }

void test('all caches of the CSI provider at their bounds at the same time fit the heap of bin/transit-bridge', async (t) => {
  const options = await launcherOptions()
  t.equal(options.length, 2)
  // One file without types, like the program: a compiler would use a part of the heap.
  const file = join(tempFolder('memory'), 'fill-memory.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, 'fill-memory.ts')],
    outfile: file,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)",
    },
  })
  const { stdout } = await promisify(execFile)(process.execPath, [...options, '--expose-gc', file])
  const { sessions, volumes, steps } = JSON.parse(stdout) as {
    sessions: number
    volumes: number
    steps: Record<string, Step>
  }
  // Large tokens count as several sessions.
  t.ok(sessions > 900 && sessions <= 1_000)
  t.equal(volumes, 10_000)
  for (const [name, { heapMiB, ...codes }] of Object.entries(steps))
    t.comment(`${name}: ${JSON.stringify(codes)}, heap ${String(heapMiB)} MiB`)
  t.same(Object.keys(steps['sessions with large tokens'] ?? {}).toSorted(), ['heapMiB', 'ok'])
})
