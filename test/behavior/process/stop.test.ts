import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { constants as os } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { PROGRAM } from '../../commands/program.ts'
import { KmsClient } from '../../real/program/kms-client.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { Program } from '../../real/program/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { enableJwtLogin } from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao, vault } = fixture
/** Longer than any test, so that Vault receives only the requests that a test causes. */
const KMS = { refreshInterval: '5m' }

/** The accessors of the tokens that plugins hold now. */
async function heldTokens(): Promise<string[]> {
  const { data } = await bao.api('LIST', 'auth/token/accessors')
  const held: string[] = []
  for (const accessor of data.keys as string[]) {
    const { body } = await bao.request('POST', 'auth/token/lookup-accessor', { accessor })
    if (String(body?.data?.display_name).startsWith('jwt-')) held.push(accessor)
  }
  return held
}

function newNodeKey(): string {
  const path = join(tempFolder('node-key'), 'key')
  writeFileSync(path, randomBytes(32), { mode: 0o400 })
  return path
}

async function endOf(plugin: Plugin): Promise<{ code: number | null; ms: number }> {
  const began = performance.now()
  const { code } = await plugin.program.ended()
  return { code, ms: performance.now() - began }
}

void test('SIGTERM: its own token is revoked, its socket is gone, it exits with 0', async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS })
  const [accessor] = await heldTokens()
  t.ok(accessor)
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  const answer = await bao.request('POST', 'auth/token/lookup-accessor', { accessor })
  t.ok(answer.status >= 400, `the token is gone (${String(answer.status)})`)
  t.notOk(existsSync(plugin.socket))
  t.match(plugin.logLines().at(-1), { level: 'info', msg: 'stopped' })
})

void test('SIGTERM: calls in flight are finished, new ones are refused', async (t) => {
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({ address: network.address, kms: KMS })
  const kept = newSeed()
  const wrapped = await plugin.client.encrypt(kept)
  await network.slow(800)
  const inFlight = [plugin.client.encrypt(newSeed()), plugin.client.decrypt(wrapped)]
  await eventually('the calls to be in flight', async () =>
    /kms_calls_in_flight 2/.test((await plugin.admin('/metrics')).text),
  )
  plugin.program.signal('SIGTERM')
  await plugin.program.waitForLine(/"stopping"/)
  await eventually('the socket to go', () => !existsSync(plugin.socket))
  t.match(await outcomeOf(plugin.client.encrypt(newSeed(), { timeout: 300 })), {
    code: /^(UNAVAILABLE|DEADLINE_EXCEEDED)$/,
  })
  const [encrypted, decrypted] = await Promise.all(inFlight)
  t.match(encrypted, { keyId: wrapped.keyId })
  t.same(decrypted, kept)
  t.match(await endOf(plugin), { code: 0 })
})

void test('SIGTERM: a batch token, which cannot be revoked, is not', async (t) => {
  await enableJwtLogin(bao, {
    ...vault.jwtLogin(),
    role: 'batch',
    tokenType: 'batch',
  })
  const plugin = await fixture.startHealthy({ kms: KMS, auth: { role: 'batch' } })
  const since = bao.auditMark()
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  t.equal(fixture.asked(since).length, 0, 'nothing was asked of Vault at the end')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  void test(`${signal} while Vault hangs: the program ends anyway`, async (t) => {
    const network = await fixture.tcpProxy()
    const plugin = await fixture.startHealthy({ address: network.address, kms: KMS })
    await network.hang()
    const call = outcomeOf(plugin.client.encrypt(newSeed(), { timeout: 20_000 }))
    await eventually('the call to be in flight', async () =>
      /kms_calls_in_flight 1/.test((await plugin.admin('/metrics')).text),
    )
    plugin.program.signal(signal)
    const { code, ms } = await endOf(plugin)
    t.equal(code, 0)
    // 3 s for the call, 1 s for the token, and slack for a busy machine.
    t.ok(ms < 8_000, `ended after ${ms.toFixed(0)} ms`)
    t.match(await call, { code: /^(UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED)$/ })
    t.notOk(existsSync(plugin.socket))
  })
}

void test('a successor takes over the socket while calls in flight are finished, and keeps it', async (t) => {
  const network = await fixture.tcpProxy()
  const old = await fixture.startHealthy({ address: network.address, kms: KMS })
  await network.hang()
  const call = outcomeOf(old.client.encrypt(newSeed(), { timeout: 20_000 }))
  await eventually('the call to be in flight', async () =>
    /kms_calls_in_flight 1/.test((await old.admin('/metrics')).text),
  )
  old.program.signal('SIGTERM')
  await eventually('the socket to go', () => !existsSync(old.socket))
  const successor = await fixture.start({ kms: { ...KMS, socket: old.socket } })
  t.ok(old.program.running, 'both run')
  await successor.waitForHealth('ok')
  t.match(await endOf(old), { code: 0 })
  t.not((await call).code, 'OK')
  t.ok(existsSync(successor.socket), 'at its end, it removes only its own socket')
  const next = new KmsClient(successor.socket)
  t.match(await next.status(), { healthz: 'ok' })
  next.close()
})

void test('SIGTERM: the local key that a call in flight needed is in the sealed file', async (t) => {
  const other = await fixture.startHealthy({ kms: { ...KMS, localKeys: { enabled: true } } })
  const seed = newSeed()
  const foreign = await other.client.encrypt(seed)
  const network = await fixture.tcpProxy()
  const [sealedFile, nodeKeyFile] = [join(tempFolder('sealed'), 'local-keys'), newNodeKey()]
  const plugin = await fixture.startHealthy({
    address: network.address,
    kms: { ...KMS, localKeys: { enabled: true, sealedFile, nodeKeyFile } },
  })
  await network.slow(1_000)
  const call = outcomeOf(plugin.client.decrypt(foreign, { timeout: 20_000 }))
  await eventually('the call to be in flight', async () =>
    /kms_calls_in_flight 1/.test((await plugin.admin('/metrics')).text),
  )
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  await network.refuse()
  await plugin.restart()
  const { code } = await call
  // On a slow machine, the time for calls in flight ends first, and nothing depends on the key.
  if (code === 'OK') t.same(await plugin.client.decrypt(foreign), seed)
  else t.match(code, /^(UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED)$/)
})

void test('a second signal ends it at once, with 1', async (t) => {
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({ address: network.address, kms: KMS })
  await network.hang()
  const call = outcomeOf(plugin.client.encrypt(newSeed()))
  await eventually('the call to be in flight', async () =>
    /kms_calls_in_flight 1/.test((await plugin.admin('/metrics')).text),
  )
  plugin.program.signal('SIGTERM')
  await plugin.program.waitForLine(/"stopping"/)
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 1 })
  t.match(await call, { code: /^(UNAVAILABLE|CANCELLED|DEADLINE_EXCEEDED|INTERNAL)$/ })
})

void test('SIGTERM before Vault was ever reached', async (t) => {
  const network = await fixture.tcpProxy()
  await network.refuse()
  const plugin = await fixture.start({ address: network.address, kms: KMS })
  plugin.program.signal('SIGTERM')
  t.match(await endOf(plugin), { code: 0 })
  t.notOk(existsSync(plugin.socket))
})

void test('SIGTERM with an idle caller that keeps its connection open', async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS })
  await plugin.client.status()
  plugin.program.signal('SIGTERM')
  const { code, ms } = await endOf(plugin)
  t.equal(code, 0)
  t.ok(ms < 2_500, `not the whole time for calls in flight (${ms.toFixed(0)} ms)`)
})

/** A client that connects, sends this, and from then on neither reads, writes nor closes. */
async function silentClient(path: string, greeting: Buffer): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  if (greeting.length > 0) socket.write(greeting)
  return socket
}

/** HTTP/2's preface (RFC 9113, section 3.4) and an empty SETTINGS frame. */
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])

for (const [what, greeting] of [
  ['says nothing', Buffer.alloc(0)],
  ['has opened HTTP/2 and then says nothing', PREFACE],
] as const) {
  void test(`SIGTERM with a client that ${what}`, async (t) => {
    const plugin = await fixture.startHealthy({ kms: KMS })
    const client = await silentClient(plugin.socket, greeting)
    t.teardown(() => client.destroy())
    plugin.program.signal('SIGTERM')
    t.match(await endOf(plugin), { code: 0 })
  })
}

void test('SIGTERM while a file never answers a read, as on a dead network mount', async (t) => {
  const caFile = join(tempFolder('ca'), 'ca.pem')
  execFileSync('mkfifo', [caFile])
  // The file is read only for an https address.
  const address = bao.address.replace('http:', 'https:')
  const plugin = await fixture.start({ address, kms: KMS, vault: { caFile } })
  // A pipe can be opened this way only while it has a reader (fifo(7)).
  const writer = await eventually('the read', () =>
    openSync(caFile, constants.O_WRONLY | constants.O_NONBLOCK),
  )
  t.teardown(() => closeSync(writer))
  plugin.program.signal('SIGTERM')
  // Node.js cannot end a thread that reads, and under --permission it can only be ended by a signal.
  t.match(await plugin.program.ended(), { signal: 'SIGTERM' })
  // While the process waits for the thread, the limit of the read itself may pass and be logged.
  t.ok(plugin.logLines().some(({ msg }) => msg === 'stopped'))
})

for (const signal of ['SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const) {
  void test(`${signal} stops it as SIGTERM does`, async (t) => {
    const plugin = await fixture.startHealthy({ kms: KMS })
    plugin.program.signal(signal)
    t.match(await endOf(plugin), { code: 0 })
    t.match(plugin.logLines().at(-1), { level: 'info', msg: 'stopped' })
  })
}

/** Whether a signal is pending in a process that blocks it (proc_pid_status(5)). */
function isBlocked(pid: number, number: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const has = (mask: string) => {
    const [, bits = '0'] = new RegExp(`^${mask}:\\s*([0-9a-f]+)`, 'm').exec(status) ?? []
    return (BigInt(`0x${bits}`) & (1n << BigInt(number - 1))) !== 0n
  }
  return has('ShdPnd') && has('SigBlk')
}

void test("SIGUSR1 does not open Node.js's inspector", async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS })
  plugin.program.signal('SIGUSR1')
  const { pid } = plugin.program
  await eventually('the signal', () => {
    return isBlocked(pid, os.signals.SIGUSR1) || /Debugger/.test(plugin.program.output())
  })
  t.notMatch(plugin.program.output(), /Debugger listening/)
  t.match(await plugin.client.status(), { healthz: 'ok' })
})

/** Opens a pipe to write once a process has opened it to read; until then that is ENXIO (fifo(7)). */
function writerOf(pipe: string): Promise<number> {
  const open = () => openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK)
  return eventually('the pipe to be opened', open)
}

const skip = process.getuid?.() === 0 ? false : 'only root can create a process namespace'
for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const) {
  void test(`${signal} to process 1 of a container before it serves`, { skip }, async (t) => {
    const folder = tempFolder('process-1')
    const config = join(folder, 'config.yaml')
    // While it waits for its configuration, nothing but the first import of src/start/kms.ts handles signals.
    execFileSync('mkfifo', [config])
    const args = ['--pid', '--fork', '--kill-child', PROGRAM, 'kms', '--config', config]
    const container = Program.start({ name: 'container', command: 'unshare', args, folder })
    const writer = await writerOf(config)
    t.teardown(() => closeSync(writer))
    const children = `/proc/${container.pid}/task/${container.pid}/children`
    process.kill(Number(readFileSync(children, 'utf8')), signal)
    t.match(await container.ended(), { code: 128 + os.signals[signal] })
  })
}

fixture.end()
