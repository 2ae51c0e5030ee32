import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'

import { installNodeCommand } from '../../src/commands/node/install-node.ts'
import { retireNodesCommand } from '../../src/commands/node/retire-nodes.ts'
import { roundTripCommand } from '../../src/commands/round-trip.ts'
import { eventually } from '../real/host/eventually.ts'
import { makeNode, MANIFEST } from '../node/node-folders.ts'
import { KmsVault } from '../real/vault/kms-vault.ts'
import { Plugin } from '../real/program/plugin.ts'
import { freePort } from '../real/host/port.ts'
import { Program } from '../real/program/program.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { execute } from './execute.ts'
import { memoryTerminal } from './memory-terminal.ts'
import { buildProgram, PROGRAM, run } from './program.ts'

buildProgram()

async function makeInstallation(t: Test) {
  const node = await makeNode(t)
  await node.writeToken()
  const { configSource, tokenSource, caSource, root, image } = node.options
  const values = {
    config: configSource,
    token: tokenSource,
    ca: caSource,
    root,
    image,
    'host-config': '/etc/tb/config.yaml',
    manifests: '/manifests',
  }
  const args = Object.entries(values).map(([name, value]) => `--${name}=${String(value)}`)
  return { ...node, values, args }
}

void test('install-node --once prints what it wrote, and --remove what it removed', async (t) => {
  const { values } = await makeInstallation(t)
  const installed = memoryTerminal()
  t.equal(await execute(installNodeCommand, { ...values, once: true }, installed), 0)
  t.match(installed.text(), /^\/etc\/tb\/token: written\n.*\n.*\n\/manifests\/.*: written\n$/)
  const again = memoryTerminal()
  t.equal(await execute(installNodeCommand, { ...values, once: true }, again), 0)
  t.equal(again.text(), 'nothing to do\n')
  const removed = memoryTerminal()
  t.equal(await execute(installNodeCommand, { ...values, once: true, remove: true }, removed), 0)
  t.match(removed.text(), new RegExp(`^${MANIFEST}: removed\n`))
})

void test('install-node rejects unusable options', async (t) => {
  const { values } = await makeInstallation(t)
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['root', 'host', /--root must be a full path/],
    ['image', 'a b', /--image must be the name of an image/],
    ['interval', '5', /--interval must be a duration of at least 1s/],
    ['listen', 'everywhere', /--listen must be host:port/],
  ]
  for (const [name, value, message] of wrong) {
    const result = execute(installNodeCommand, { ...values, [name]: value }, memoryTerminal())
    await t.rejects(result, { code: 'USAGE_INVALID', message })
  }
})

void test('the installer keeps the node up to date, follows its sources, and leaves everything in place when it stops', async (t) => {
  const { args, read, writeToken } = await makeInstallation(t)
  const port = await freePort()
  const installer = Program.start({
    name: 'installer',
    command: PROGRAM,
    args: ['install-node', ...args, `--listen=127.0.0.1:${String(port)}`, '--interval=1h'],
    folder: tempFolder('installer'),
  })
  t.teardown(() => installer.kill())
  const ask = (path: string) => fetch(`http://127.0.0.1:${String(port)}${path}`)
  await installer.waitUntil('liveness', async () => (await ask('/livez')).ok)
  const readiness = await ask('/readyz')
  t.equal(readiness.status, 503, 'nothing serves the socket')
  t.match(await readiness.text(), /nothing serves \/run\/tb\/kms.sock yet/)
  const renewed = await writeToken()
  await eventually('the new token', () => read('/etc/tb/token') === `${renewed}\n`)
  t.match(await (await ask('/metrics')).text(), /identity_token_expiry_timestamp_seconds \d{10}/)
  t.equal((await installer.terminate()).code, 0)
  t.equal(read('/etc/tb/token'), `${renewed}\n`)
  t.notOk(installer.output().includes(renewed), 'the token is not in the log')
})

void test('retire-nodes needs a DaemonSet, and a pod to run in', async (t) => {
  const retire = (values: Record<string, string>) =>
    execute(retireNodesCommand, values, memoryTerminal())
  await t.rejects(retire({ daemonset: 'name' }), { message: /must be NAMESPACE\/NAME/ })
  await t.rejects(retire({ daemonset: 'a/b', timeout: 'x' }), { message: /must be a duration/ })
  await t.rejects(retire({ daemonset: 'a/b' }), {
    code: 'HOST_FAILED',
    message: /run this command in a pod/,
  })
})

void test('round-trip proves a plugin, and reports why it cannot', async (t) => {
  const vault = await KmsVault.start({ audit: false })
  t.teardown(() => vault.stop())
  const plugin = await Plugin.start(vault.configuration(undefined, { outageGrace: '0s' }))
  t.teardown(() => plugin.stop())
  await plugin.waitForHealth('ok')
  const terminal = memoryTerminal()
  t.equal(await execute(roundTripCommand, { socket: plugin.socket }, terminal), 0)
  t.match(terminal.text(), /^\/.*kms\.sock: ok, key id tb1-\S+, [\d.]+ ms\n$/)
  await vault.bao.stop()
  await plugin.waitForHealth(/./)
  await eventually('Status to say so', async () => {
    const outcome = await run(['round-trip', '--socket', plugin.socket])
    return outcome.code === 1 && /Status is not ok: /.test(outcome.stderr)
  })
})

void test('round-trip reports that nothing answers at a socket', async (t) => {
  const folder = tempFolder('round-trip')
  writeFileSync(join(folder, 'file'), '')
  const send = (name: string) =>
    execute(roundTripCommand, { socket: join(folder, name) }, memoryTerminal())
  await t.rejects(send('x.sock'), {
    code: 'SOCKET_FAILED',
    message:
      /^no server answers at .*x\.sock \(ENOENT\): the file does not exist; check that the program/,
  })
  await t.rejects(send('file'), {
    message: /file is not a socket \(a regular file\); pass the path/,
  })
  await t.rejects(send('.'), { message: /is not a socket \(a folder\); pass the path/ })
  const server = createServer().listen(join(folder, 'left.sock'))
  await once(server, 'listening')
  // What a killed process leaves: closing removes only the original name.
  renameSync(join(folder, 'left.sock'), join(folder, 'killed.sock'))
  server.close()
  await t.rejects(send('killed.sock'), { message: /\(ECONNREFUSED\): a process that has ended/ })
  await t.rejects(send('long'.repeat(30)), { message: /\(EINVAL\): .* at most 107 bytes$/ })
})
