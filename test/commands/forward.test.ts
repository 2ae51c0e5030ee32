import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'tap'

import { localAddress } from '../../src/commands/forward.ts'
import { freePort } from '../real/host/port.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { Program } from '../real/program/program.ts'
import { buildProgram, PROGRAM } from './program.ts'

const listen = localAddress()

void test('forward listens on loopback only', async (t) => {
  t.same(listen.read([], '--listen'), { host: '127.0.0.1', port: 8200 })
  t.same(listen.read(['[::1]:18200'], '--listen'), { host: '::1', port: 18_200 })
  t.same(listen.read(['127.9.9.9:1'], '--listen'), { host: '127.9.9.9', port: 1 })
  for (const wrong of [
    '0.0.0.0:8200',
    '*:8200',
    '[::]:8200',
    '10.0.0.1:8200',
    'localhost:1',
    '8200',
  ])
    t.throws(() => listen.read([wrong], '--listen'), { code: 'USAGE_INVALID' }, wrong)
})

void test('the built program forwards until SIGTERM, and then exits with 0', async (t) => {
  buildProgram()
  const folder = tempFolder('forward')
  const socket = join(folder, 'vault.sock')
  const server = createServer((_, response) => response.end('answered'))
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  t.teardown(() => void server.close())
  const port = String(await freePort())
  const args = ['forward', '--socket', socket, '--listen', `127.0.0.1:${port}`]
  const program = Program.start({ name: 'forward', command: PROGRAM, args, folder })
  t.teardown(() => program.kill())
  await program.waitUntil('an answer', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/`)
    return (await answer.text()) === 'answered'
  })
  t.equal((await program.terminate()).code, 0)
  t.notMatch(program.output(), /"level":"(?:warn|error)"/)
})

void test('without the volume, forward says what to mount, when it starts and for each connection', async (t) => {
  buildProgram()
  const folder = tempFolder('forward')
  const port = String(await freePort())
  const socket = join(folder, 'none', 'vault.sock')
  const args = ['forward', '--socket', socket, '--listen', `127.0.0.1:${port}`]
  const program = Program.start({ name: 'forward', command: PROGRAM, args, folder })
  t.teardown(() => program.kill())
  const reports = (pattern: RegExp) =>
    program.waitUntil('a report', () => Promise.resolve(pattern.test(program.output())))
  await reports(/"warn".*"ENOENT".*cannot be used yet.*mount the volume into this container/)
  await t.rejects(fetch(`http://127.0.0.1:${port}/`))
  await reports(/"error".*cannot forward a connection .*mount the volume into this container/)
})
