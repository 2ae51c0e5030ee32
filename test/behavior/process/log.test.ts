// The log never decides whether the program serves or ends, neither on a full file system nor with a reader that has stopped.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { CsiClient } from '../../real/program/csi-client.ts'
import { fill, fullFileSystem, writeTo } from '../../real/faults/full-file-system.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { Provider } from '../../real/program/provider.ts'
import type { ServedProgram, Wrap } from '../../real/program/served-program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { newSeed, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const skip = whyNoMounts()

async function droppedLines(program: ServedProgram): Promise<number> {
  const { text } = await program.admin('/metrics')
  return findSamples(text, 'transit_bridge_log_lines_dropped_total')[0]?.value ?? 0
}

/** A pipe that is full, and whose reader has stopped. */
function stuckPipe() {
  const path = join(tempFolder('stuck'), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  fill(reader)
  return { wrap: writeTo(path), stop: () => closeSync(reader) }
}

function startProvider(wrap: Wrap): Promise<Provider> {
  const folder = tempFolder('providers')
  const auth = { method: 'token', tokenFile: join(folder, 'none') }
  const vault = { address: 'http://127.0.0.1:1', auth }
  return Provider.start(folder, { vault, csi: { audience: 'vault', rules: [] } }, undefined, wrap)
}

void test(
  'kms: a full file system under the log costs log lines and nothing else',
  { skip },
  async (t) => {
    const disk = await fullFileSystem(64)
    t.teardown(disk.stop)
    const plugin = await fixture.launch({ log: { level: 'debug' } }, disk.wrap)
    await plugin.waitForHealth('ok')
    const seed = newSeed()
    for (let call = 0; call < 20; call += 1)
      t.same(await plugin.client.decrypt(await plugin.client.encrypt(seed)), seed)
    await eventually('dropped lines to be counted', async () => (await droppedLines(plugin)) > 0)

    disk.makeRoom()
    await eventually('log lines after there is room again', async () => {
      await plugin.client.encrypt(seed)
      return disk.log().includes('call answered')
    })
    for (const line of disk.log().split('\n'))
      if (line !== '') t.ok(JSON.parse(line), 'a whole line')
    plugin.program.signal('SIGTERM')
    t.match(await plugin.program.ended(), { code: 0 })
    t.match(disk.log(), /"stopped"\}\n$/)
  },
)

void test('kms: a log reader that has stopped keeps neither calls nor SIGTERM waiting', async (t) => {
  const pipe = stuckPipe()
  t.teardown(pipe.stop)
  const plugin = await fixture.launch({ log: { level: 'debug' } }, pipe.wrap)
  await plugin.waitForHealth('ok')
  // More lines than the program keeps while they cannot be written.
  for (let burst = 0; burst < 50; burst += 1)
    await Promise.all(Array.from({ length: 200 }, () => plugin.client.status()))
  const dropped = await droppedLines(plugin)
  plugin.program.signal('SIGTERM')
  t.match(await plugin.program.ended(), { code: 0 })
  t.ok(dropped > 0, 'lines were dropped')
})

void test(
  'csi: a full file system under the log costs log lines and nothing else',
  { skip },
  async (t) => {
    const disk = await fullFileSystem(64)
    t.teardown(disk.stop)
    const provider = await startProvider(disk.wrap)
    const client = new CsiClient(provider.socket)
    t.teardown(() => client.close())
    t.match(await client.version(), { runtimeName: /transit-bridge/ })
    await eventually('dropped lines to be counted', async () => {
      await client.version()
      return (await droppedLines(provider)) > 0
    })
    t.equal(await provider.stop(), 0)
  },
)

void test('csi: a log reader that has stopped does not keep SIGTERM waiting', async (t) => {
  const pipe = stuckPipe()
  t.teardown(pipe.stop)
  const provider = await startProvider(pipe.wrap)
  await eventually('/livez', async () => (await provider.admin('/livez')).status === 200)
  provider.program.signal('SIGTERM')
  t.match(await provider.program.ended(), { code: 0 })
})

fixture.end()
