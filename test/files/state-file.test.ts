import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import * as v from 'valibot'

import { StateFile } from '../../src/files/state-file.ts'

const MODULE = join(import.meta.dirname, '../../src/files/run-lock.ts')

function stateIn(folder: string): StateFile<v.StringSchema<undefined>> {
  return new StateFile(join(folder, 'rotate.json'), v.string())
}

/** A process that holds the lock of a state file until it ends. */
async function holdLock(path: string) {
  const program = `import { takeRunLock } from ${JSON.stringify(MODULE)}
globalThis.lock = takeRunLock(${JSON.stringify(path)})
console.log(typeof globalThis.lock)
setInterval(() => globalThis.lock, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program])
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, line: line.toString().trim() }
}

void test('a second run is refused until the first one releases the lock', async (t) => {
  const file = stateIn(t.testdir())
  const unlock = await file.lock()
  const message = /the state file .*rotate\.json is in use by another run; wait until it ends/
  await t.rejects(file.lock(), { code: 'STATE_INVALID', message })
  await file.write('half')
  unlock()
  const again = await file.lock()
  t.equal(await file.read(), 'half')
  again()
})

// Issue: process 1 of a new container was mistaken for the holder forever, and an empty lock file for no lock.
void test('a killed run leaves no lock, and a live one holds it no matter what is in its file', async (t) => {
  const folder = t.testdir()
  const file = stateIn(folder)
  const holder = await holdLock(`${file.path}.lock`)
  t.teardown(() => holder.child.kill('SIGKILL'))
  t.equal(holder.line, 'object')
  writeFileSync(`${file.path}.lock`, '')
  await t.rejects(file.lock(), { message: /is in use by another run/ })
  holder.child.kill('SIGKILL')
  await once(holder.child, 'exit')
  t.same(readdirSync(folder), ['rotate.json.lock'], 'and no other file')
  const unlock = await file.lock()
  unlock()
})

void test('a file that is not a lock is named and kept', async (t) => {
  const folder = t.testdir({ 'rotate.json.lock': '1234\n'.repeat(200) })
  await t.rejects(stateIn(folder).lock(), {
    code: 'STATE_INVALID',
    message:
      /rotate\.json\.lock is not a lock of this program; remove it if no other run is active/,
  })
})

void test('a lock that cannot be written is an error, not a missing lock', async (t) => {
  const folder = t.testdir({ 'rotate.json.lock': {} })
  await t.rejects(stateIn(folder).lock(), { message: /rotate\.json\.lock cannot be written/ })
})
