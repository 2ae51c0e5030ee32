import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../host/eventually.ts'
import { test } from 'tap'
import { freePort } from '../host/port.ts'
import { Program } from './program.ts'

function node(folder: string, script: string): Program {
  return Program.start({ name: 'script', command: process.execPath, args: ['-e', script], folder })
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function waitForEnd(pid: number): Promise<void> {
  await eventually(`the end of process ${pid}`, () => !isRunning(pid))
}

void test('a program that ends too early is reported with its exit code and its last words', async (t) => {
  const program = node(t.testdir(), 'console.error("no such option"); process.exit(3)')
  await t.rejects(
    program.waitForLine(/never/),
    /script: exited with code 3 before a line like \/never\/; its output ends:\nno such option/,
  )
  t.match(await program.exited, { code: 3, signal: null })
  t.equal(program.running, false)
  t.match(await program.terminate(), { code: 3 }, 'ending what has ended is no error')
})

void test('a wait that is too long is reported with the last reason', async (t) => {
  const program = node(t.testdir(), 'setInterval(() => {}, 1000)')
  const never = (): never => {
    throw new Error('still booting')
  }
  await t.rejects(
    program.waitUntil('health', never, { timeoutMs: 60 }),
    /waited 60 ms for health \(last: still booting\)/,
  )
  t.match(await program.terminate(), { signal: 'SIGTERM' })
})

void test('a program that does not exist', async (t) => {
  const program = Program.start({
    name: 'nothing',
    command: '/nonexistent/program',
    args: [],
    folder: t.testdir(),
  })
  await t.rejects(program.waitForLine(/x/), /nothing: did not start \(.*ENOENT/)
})

void test('one that ignores SIGTERM is killed when its grace is over', async (t) => {
  const program = node(
    t.testdir(),
    'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up")',
  )
  await program.waitForLine(/up/)
  t.match(await program.terminate({ graceMs: 100 }), { signal: 'SIGKILL' })
})

void test('a paused program answers when it is resumed', async (t) => {
  const port = await freePort()
  const program = node(
    t.testdir(),
    `require("http").createServer((_, r) => r.end("ok")).listen(${port}, "127.0.0.1")`,
  )
  await program.waitForSocket(port)
  program.pause()
  const get = (timeoutMs: number): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}`, { signal: AbortSignal.timeout(timeoutMs) })
  await t.rejects(get(150), { name: 'TimeoutError' })
  program.resume()
  t.equal(await (await get(60_000)).text(), 'ok')
  program.pause()
  t.match(await program.terminate(), { signal: 'SIGTERM' }, 'a paused one can be ended')
})

void test('servers see nothing of the environment of the tests', async (t) => {
  const folder = t.testdir()
  process.env['VAULT_SKIP_VERIFY'] = 'true'
  t.teardown(() => delete process.env['VAULT_SKIP_VERIFY'])
  const program = node(folder, 'console.log(Object.keys(process.env).sort().join())')
  await program.finished()
  t.notMatch(program.output(), /VAULT/)
})

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  void test(`it does not outlive a parent that is ended by ${signal}`, async (t) => {
    const folder = t.testdir()
    const script = join(folder, 'parent.mjs')
    writeFileSync(
      script,
      `import { Program } from ${JSON.stringify(join(import.meta.dirname, 'program.ts'))}
       const program = Program.start({ name: 'child', command: 'sleep', args: ['60'], folder: ${JSON.stringify(folder)} })
       console.log(program.pid)
       setInterval(() => {}, 1000)`,
    )
    const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => parent.kill('SIGKILL'))
    const [line] = await once(parent.stdout, 'data')
    const pid = Number(String(line))
    t.ok(isRunning(pid))
    parent.kill(signal)
    const [, by] = await once(parent, 'exit')
    t.equal(by, signal)
    await waitForEnd(pid)
  })
}

void test('a forgotten program does not keep its parent from ending', async (t) => {
  const folder = t.testdir()
  const script = join(folder, 'parent.mjs')
  writeFileSync(
    script,
    `import { Program } from ${JSON.stringify(join(import.meta.dirname, 'program.ts'))}
     const program = Program.start({ name: 'child', command: 'sleep', args: ['60'], folder: ${JSON.stringify(folder)} })
     console.log(program.pid)`,
  )
  const pid = await new Promise<number>((resolve, reject) => {
    execFile(process.execPath, [script], { timeout: 5000 }, (error, stdout) =>
      error === null ? resolve(Number(stdout)) : reject(error),
    )
  })
  await waitForEnd(pid)
})
