import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, end, test } from 'tap'

import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)

/** A folder in memory, as /run is. */
function memoryFolder(): string {
  const folder = mkdtempSync('/dev/shm/tb-')
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

void test('sockets come back after a restart, with the tokens of the pods, if the state is in memory', async (t) => {
  const folder = tempFolder('rt')
  const runtimeConfig = { stateFolder: join(memoryFolder(), 's') }
  const first = await startRuntime(vault, { folder, runtimeConfig })
  const pod = newPod()
  const socket = await first.kubelet.publish(pod)
  await first.stop()
  const second = await startRuntime(vault, { folder, runtimeConfig })
  t.teardown(() => second.stop())
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
  t.equal(second.runtime.volumes.sizeWithoutToken, 0)
  await second.kubelet.unpublish(pod)
  t.same(readdirSync(join(runtimeConfig.stateFolder, 'volumes')), [])
  t.same(readdirSync(join(runtimeConfig.stateFolder, 'links')), [])
})

void test('on a disk no token is stored: after a restart a pod gets 503 until the kubelet calls', async (t) => {
  const folder = tempFolder('rt')
  const first = await startRuntime(vault, { folder })
  const pod = newPod()
  const socket = await first.kubelet.publish(pod)
  const volumes = join(folder, 's', 'volumes')
  const [record = ''] = readdirSync(volumes)
  t.notOk('token' in JSON.parse(readFileSync(join(volumes, record), 'utf8')))
  await first.stop()
  const second = await startRuntime(vault, { folder })
  t.teardown(() => second.stop())
  const early = await socket.ask('transit/random', { body: {} })
  t.equal(early.status, 503, early.text)
  t.match(early.json.errors?.[0], /waits for a token of this pod/)
  t.equal(second.runtime.volumes.sizeWithoutToken, 1)
  await second.kubelet.publish(pod)
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
})

void test('a damaged record is reported and removed, and the others are served', async (t) => {
  const folder = tempFolder('rt')
  const first = await startRuntime(vault, { folder })
  const pods = [newPod(), newPod()]
  for (const pod of pods) await first.kubelet.publish(pod)
  await first.stop()
  const volumes = join(folder, 's', 'volumes')
  const [damaged = ''] = readdirSync(volumes)
  const text = readFileSync(join(volumes, damaged), 'utf8')
  writeFileSync(join(volumes, damaged), text.slice(0, text.length / 2))
  const second = await startRuntime(vault, { folder })
  t.teardown(() => second.stop())
  t.equal(second.runtime.volumes.size, 1)
  t.match(
    second.lines.find(({ msg }) => /is damaged/.test(msg)),
    { level: 'warn' },
  )
  for (const pod of pods) await second.kubelet.publish(pod)
  t.equal(second.runtime.volumes.size, 2)
})

void test('the record of a volume whose folder is gone, as after a reboot, is removed', async (t) => {
  const folder = tempFolder('rt')
  const first = await startRuntime(vault, { folder })
  const pod = newPod()
  await first.kubelet.publish(pod)
  await first.stop()
  rmSync(first.kubelet.targetOf(pod), { recursive: true })
  const second = await startRuntime(vault, { folder })
  t.teardown(() => second.stop())
  t.equal(second.runtime.volumes.size, 0)
})

void test('a socket that a clean-up job removed is served again', async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const socket = await runtime.kubelet.publish(newPod())
  rmSync(socket.path)
  await eventually('the socket again', async () => {
    const answer = await socket.ask('transit/random', { body: {} })
    return answer.status === 200
  })
  t.pass('the socket is back')
})

void test('a record that another driver removes during the start is ignored', async (t) => {
  const folder = tempFolder('rt')
  mkdirSync(join(folder, 's', 'volumes'), { recursive: true })
  symlinkSync('gone', join(folder, 's', 'volumes', `${'0'.repeat(16)}.json`))
  const runtime = await startRuntime(vault, { folder })
  t.teardown(() => runtime.stop())
  t.equal(runtime.runtime.volumes.size, 0)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
