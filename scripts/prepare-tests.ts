// Prepares what tests, demos and benchmarks use, so that downloads and builds do not count against their timeouts: the built
// program, tap's own setup, and the real servers.
//
// usage: prepare-tests.ts [PART...]    always includes OpenBao; for the names see test/real/host/parts.ts
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildProgram } from '../test/commands/program.ts'
import { obtain, partNames, type Part } from '../test/real/host/parts.ts'

const root = join(import.meta.dirname, '..')

/** A fresh install of tap includes its TypeScript plugin, which `.taprc` disables; `tap build` applies this once. */
function buildTap(): void {
  const built = join(root, 'node_modules/@tapjs/test/test-built/dist/esm/index.js')
  if (!readFileSync(built, 'utf8').includes('@tapjs/typescript')) return
  execFileSync(join(root, 'node_modules/.bin/tap'), ['build'], { cwd: root, stdio: 'ignore' })
}

function isPart(name: string): name is Part {
  return (partNames as readonly string[]).includes(name)
}

async function prepare(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !isPart(name))
  if (unknown.length > 0) {
    throw new Error(`unknown part: ${unknown.join(', ')}; known parts: ${partNames.join(', ')}`)
  }
  buildProgram()
  buildTap()
  for (const name of ['bao', ...names]) {
    if (isPart(name)) await obtain(name)
  }
}

try {
  await prepare(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
