import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type Test } from 'tap'

import { runServer } from '../../src/start/server-code.ts'
import { eventually } from '../real/host/eventually.ts'

type Seen = { number: number; folder: string }

const require = createRequire(import.meta.url)

/** A bundle as scripts/build.ts writes it. All have the same length, which is all that V8 compares. */
function writeBundle(file: string, number: 1 | 2): void {
  const body = `require('node:process').emit('test:server-code', { number: ${number}, folder })`
  writeFileSync(
    file,
    `(function(require,folder){\n"use strict";${body}\n})\n//# sourceMappingURL=x`,
  )
}

function run(file: string, cacheFolder?: string): Seen | undefined {
  let seen: Seen | undefined
  const listen = (value: unknown) => (seen = value as Seen)
  const events = process as NodeJS.EventEmitter
  events.once('test:server-code', listen)
  runServer({ file, cacheFolder, require, saveAfterMs: 0 })
  events.off('test:server-code', listen)
  return seen
}

function prepare(t: Test): {
  folder: string
  file: string
  cacheFolder: string
  cacheFile: string
} {
  const folder = t.testdir({ cache: {} })
  const file = join(folder, 'kms.cjs')
  writeBundle(file, 1)
  const cacheFolder = join(folder, 'cache')
  return { folder, file, cacheFolder, cacheFile: join(cacheFolder, 'kms.cjs.cache') }
}

const contentOf = (file: string) => readFileSync(file, 'latin1')
const isSaved = (file: string, before = '') =>
  eventually('the compiled code', () => !['', before].includes(contentOf(file)))

void test('compiled code is kept for the next start, readable by its owner alone', async (t) => {
  const { folder, file, cacheFolder, cacheFile } = prepare(t)
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  await isSaved(cacheFile)
  t.equal(statSync(cacheFile).mode & 0o777, 0o600)
  t.strictSame(readdirSync(cacheFolder), ['kms.cjs.cache'])
  const before = statSync(cacheFile).mtimeMs
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  await sleep(0)
  t.equal(statSync(cacheFile).mtimeMs, before, 'code that can be used is not written again')
})

void test('the source and the compiled code of a large bundle do not stay in memory', async (t) => {
  const { folder, file, cacheFolder, cacheFile } = prepare(t)
  appendFileSync(file, `\n//${'x'.repeat(8 << 20)}`)
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  await isSaved(cacheFile)
  const before = process.memoryUsage().arrayBuffers
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  t.ok(process.memoryUsage().arrayBuffers - before < 4 << 20)
})

void test('a symbolic link or a FIFO in place of the compiled code is neither read nor written', (t) => {
  const { folder, file, cacheFolder, cacheFile } = prepare(t)
  const other = join(folder, 'other')
  writeFileSync(other, 'unchanged')
  symlinkSync(other, cacheFile)
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  t.equal(contentOf(other), 'unchanged')
  rmSync(cacheFile)
  execFileSync('mkfifo', [cacheFile])
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  t.ok(statSync(cacheFile).isFIFO())
  t.end()
})

void test('code of another build never runs, even if its source has the same length', async (t) => {
  const { folder, file, cacheFolder, cacheFile } = prepare(t)
  run(file, cacheFolder)
  await isSaved(cacheFile)
  const before = contentOf(cacheFile)
  writeBundle(file, 2)
  t.strictSame(run(file, cacheFolder), { number: 2, folder })
  await isSaved(cacheFile, before)
  t.strictSame(run(file, cacheFolder), { number: 2, folder })
})

void test('code that is damaged, cut off or not code is ignored and replaced', async (t) => {
  const { folder, file, cacheFolder, cacheFile } = prepare(t)
  run(file, cacheFolder)
  await isSaved(cacheFile)
  const good = readFileSync(cacheFile)
  const flipped = Buffer.from(good)
  flipped.writeUInt8(good.readUInt8(good.length - 20) ^ 1, good.length - 20)
  for (const bad of [flipped, good.subarray(0, 100), Buffer.from('not code')]) {
    writeFileSync(cacheFile, bad)
    t.strictSame(run(file, cacheFolder), { number: 1, folder })
    await isSaved(cacheFile, bad.toString('latin1'))
    t.ok(readFileSync(cacheFile).length > 100)
  }
})

void test('if the folder for compiled code cannot be written, the program still runs', (t) => {
  const { folder, file } = prepare(t)
  t.strictSame(run(file), { number: 1, folder })
  t.strictSame(run(file, join(folder, 'missing')), { number: 1, folder })
  // Root may write to every folder, but not below a file.
  t.strictSame(run(file, file), { number: 1, folder })
  t.strictSame(readdirSync(folder).toSorted(), ['cache', 'kms.cjs'])
  t.end()
})

void test('a process that ends early leaves a file that the next start replaces', async (t) => {
  const { folder, file, cacheFolder, cacheFile } = prepare(t)
  writeFileSync(cacheFile, '')
  t.strictSame(run(file, cacheFolder), { number: 1, folder })
  await isSaved(cacheFile)
})
