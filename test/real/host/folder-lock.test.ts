import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { withLock } from './folder-lock.ts'

const run = promisify(execFile)
const lockModule = JSON.stringify(join(import.meta.dirname, 'folder-lock.ts'))
const cacheModule = JSON.stringify(join(import.meta.dirname, 'cache.ts'))

void test('one process at a time', async (t) => {
  const folder = t.testdir()
  const lock = JSON.stringify(join(folder, 'lock'))
  const log = JSON.stringify(join(folder, 'log'))
  const script = `
    import { appendFileSync } from 'node:fs'
    import { withLock } from ${lockModule}
    await withLock(${lock}, async () => {
      appendFileSync(${log}, 'in\\n')
      await new Promise((resolve) => setTimeout(resolve, 100))
      appendFileSync(${log}, 'out\\n')
    })`
  const one = (): Promise<unknown> =>
    run(process.execPath, ['--input-type=module-typescript', '-e', script])
  await Promise.all([one(), one(), one()])
  t.equal(readFileSync(join(folder, 'log'), 'utf8'), 'in\nout\n'.repeat(3))
  t.notOk(existsSync(join(folder, 'lock')))
})

void test('the lock of a dead process is taken over', async (t) => {
  const lock = join(t.testdir(), 'lock')
  const dead = spawn(process.execPath, ['-e', ''])
  await once(dead, 'exit')
  mkdirSync(lock)
  writeFileSync(join(lock, 'pid'), String(dead.pid))
  t.equal(await withLock(lock, async () => 'mine'), 'mine')
  t.notOk(existsSync(lock))
})

void test('it is released when the work fails', async (t) => {
  const lock = join(t.testdir(), 'lock')
  await t.rejects(
    withLock(lock, () => Promise.reject(new Error('no'))),
    { message: 'no' },
  )
  t.equal(await withLock(lock, async () => 1), 1)
})

void test('the cache makes an entry once, and never uses an incomplete one', async (t) => {
  const folder = t.testdir()
  const make = (body: string): Promise<{ stdout: string }> =>
    run(
      process.execPath,
      [
        '--input-type=module-typescript',
        '-e',
        `import { appendFileSync, writeFileSync } from 'node:fs'
         import { cached } from ${cacheModule}
         const made = await cached('thing-1', async (folder) => { ${body} })
         console.log(made)`,
      ],
      { env: { ...process.env, XDG_CACHE_HOME: folder } },
    )
  await t.rejects(make(`writeFileSync(folder + '/half', ''); throw new Error('interrupted')`))
  await t.rejects(make(`writeFileSync(folder + '/half', ''); process.kill(process.pid, 'SIGKILL')`))
  const entries = join(folder, 'transit-bridge')
  const left = () => readdirSync(entries).filter((name) => /^thing-1\.[0-9a-f]{8}-/.test(name))
  const [killed] = left()
  utimesSync(join(entries, String(killed)), new Date('2026-01-01'), new Date('2026-01-01'))
  const log = JSON.stringify(join(folder, 'log'))
  const whole = `appendFileSync(${log}, 'made '); writeFileSync(folder + '/whole', '')`
  const [first] = await Promise.all([make(whole), make(whole), make(whole)])
  t.equal(first.stdout.trim(), join(folder, 'transit-bridge', 'thing-1'))
  t.equal(readFileSync(join(folder, 'log'), 'utf8'), 'made ')
  t.ok(existsSync(join(folder, 'transit-bridge', 'thing-1', 'whole')))
  t.notOk(existsSync(join(folder, 'transit-bridge', 'thing-1', 'half')))
  t.type(killed, 'string', 'a killed process leaves its folder')
  t.strictSame(left(), [], 'which is removed a day later')
})
