// Runs the end-to-end tests in two groups at the same time. Only one kubelet can run on a machine, so the tests with a real
// node take turns. In one group with the others, they would occupy jobs while they wait.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const TAP = ['--disable-coverage', '--allow-incomplete-coverage', '--timeout=900']

/** Most of a test's time is waiting for real servers, so more files than cores run at once. */
const CLUSTER = ['--jobs=3', 'test/e2e/!(node)/**/*.test.ts']
const NODE = ['--jobs=2', 'test/e2e/node/*.test.ts']

async function runTap(args: readonly string[], output: 'inherit' | number): Promise<number> {
  const tap = spawn('tap', [...TAP, ...args], { stdio: ['ignore', output, output] })
  const [code] = (await once(tap, 'exit')) as [number | null]
  return code ?? 1
}

/** The output of the second group is printed after that of the first: mixed, neither would be readable. */
async function runTests(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'test-e2e-'))
  try {
    const file = join(folder, 'node.tap')
    const codes = await Promise.all([runTap(CLUSTER, 'inherit'), runTap(NODE, openSync(file, 'w'))])
    process.stdout.write(readFileSync(file))
    process.exitCode = Math.max(...codes)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

await runTests()
